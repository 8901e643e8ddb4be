#include "model/kernels/row_math.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

// One source, three machine codes; the loader picks the best that the processor has.
#if defined(__x86_64__) && defined(__GNUC__)
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

RANKTUNE_CLONES void narrow_row(const float* from, c10::BFloat16* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from[i]);
    const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
    const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    to[i].x = static_cast<std::uint16_t>(is_nan ? 0x7FC0u : rounded);
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
