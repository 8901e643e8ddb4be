#include "model/kernels/row_math.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

// One source, three machine codes; the loader picks the best that the processor has. Before ThreadSanitizer
// has started, which its instrumented choosers would crash without.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_THREAD__)
#define RANKTUNE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define RANKTUNE_CLONES
#endif

namespace ranktune {
namespace {

constexpr std::int64_t kPartials = 16;

float add_partials(const std::array<float, kPartials>& partial) {
  float sum = 0;
  for (const float value : partial) sum += value;
  return sum;
}

}  // namespace

RANKTUNE_CLONES void widen_row(const c10::BFloat16* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i].x) << 16);
}

// fp16 has its exponent's zero at 15, fp32 at 127. Its subnormals are m * 2^-24: with the exponent of 2^-14
// in front of m they are 2^-14 + m * 2^-24, exactly.
RANKTUNE_CLONES void widen_row(const c10::Half* from, float* to, std::int64_t count) {
  constexpr std::uint32_t kRebias = (127u - 15u) << 23, kAllOnes = 0x1Fu << 23;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t half = from[i].x, magnitude = (half & 0x7FFFu) << 13, exponent = magnitude & kAllOnes;
    const std::uint32_t normal = magnitude + (exponent == kAllOnes ? 2 * kRebias : kRebias);
    const float small = std::bit_cast<float>(magnitude + kRebias + (1u << 23)) - 0x1p-14f;
    const std::uint32_t bits = exponent == 0 ? std::bit_cast<std::uint32_t>(small) : normal;
    to[i] = std::bit_cast<float>(bits | (half & 0x8000u) << 16);
  }
}

RANKTUNE_CLONES void narrow_row(const float* from, c10::BFloat16* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from[i]);
    const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
    const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    to[i].x = static_cast<std::uint16_t>(is_nan ? 0x7FC0u : rounded);
  }
}

// The three cases side by side, so that the loop has no branch: below 2^-14 the sum with 0.5 rounds to a
// multiple of 2^-24 (subnormals), from 2^16 on nothing is finite, and between the two the mantissa is rounded
// as an integer.
RANKTUNE_CLONES void narrow_row(const float* from, c10::Half* to, std::int64_t count) {
  constexpr std::uint32_t kRebias = (127u - 15u) << 23, kSmallestNormal = (127u - 14u) << 23,
                          kBeyond = (127u + 16u) << 23, kInfinity = 0xFFu << 23;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from[i]);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
    const std::uint32_t normal = (magnitude - kRebias + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
    const std::uint32_t small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) -
                                std::bit_cast<std::uint32_t>(0.5f);
    const std::uint32_t large = magnitude > kInfinity ? 0x7E00u : 0x7C00u;
    const std::uint32_t rounded =
        magnitude >= kBeyond ? large : (magnitude < kSmallestNormal ? small : normal);
    to[i].x = static_cast<std::uint16_t>(rounded | (bits >> 31) << 15);
  }
}

RANKTUNE_CLONES float square_sum(const float* x, std::int64_t count) {
  std::array<float, kPartials> partial{};
  std::int64_t i = 0;
  for (; i + kPartials <= count; i += kPartials)
    for (std::int64_t j = 0; j < kPartials; ++j) partial[static_cast<std::size_t>(j)] += x[i + j] * x[i + j];
  for (; i < count; ++i) partial[static_cast<std::size_t>(i % kPartials)] += x[i] * x[i];
  return add_partials(partial);
}

RANKTUNE_CLONES float dot(const float* x, const float* y, std::int64_t count) {
  std::array<float, kPartials> partial{};
  std::int64_t i = 0;
  for (; i + kPartials <= count; i += kPartials)
    for (std::int64_t j = 0; j < kPartials; ++j) partial[static_cast<std::size_t>(j)] += x[i + j] * y[i + j];
  for (; i < count; ++i) partial[static_cast<std::size_t>(i % kPartials)] += x[i] * y[i];
  return add_partials(partial);
}

// Cody and Waite's reduction to |r| <= ln 2 / 2 and the Taylor polynomial of degree 7, whose remainder there
// is below 2^-27 of the result.
RANKTUNE_CLONES void exp_row(const float* x, float* result, std::int64_t count) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = std::min(std::max(x[i], -87.0f), 87.0f);
    const float n = (value * kLog2E + kMagic) - kMagic;
    const float r = (value - n * kLn2High) - n * kLn2Low;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
    result[i] = p * std::bit_cast<float>(exponent);
  }
}

}  // namespace ranktune
