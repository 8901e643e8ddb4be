#include "zero/fixed_point.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"

namespace ranktune {
namespace {

constexpr std::size_t kChunk = 4096;  // stays in the first-level cache between the two passes over it
constexpr float kFastLimit = 0x1p11F;

/// |value * 2^40| < 2^51: adding 1.5 * 2^52 leaves the rounded integer in the low bits of the sum (nearest
/// even is the default rounding mode), which vectorises where a call of nearbyint would not.
void add_small(const float* gradient, std::int64_t* accumulator, std::size_t count) {
  constexpr double kMagic = 0x1.8p52;
  constexpr auto kMagicBits = std::bit_cast<std::int64_t>(kMagic);
  for (std::size_t i = 0; i < count; ++i) {
    const double shifted = static_cast<double>(gradient[i]) * kFixedPointScale + kMagic;
    accumulator[i] += std::bit_cast<std::int64_t>(shifted) - kMagicBits;
  }
}

/// |value| < 2^23. From 2^-17 on the product is an integer already, below it fits the fast way's rounding.
void add_large(const float* gradient, std::int64_t* accumulator, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto units =
        static_cast<std::int64_t>(std::nearbyint(static_cast<double>(gradient[i]) * kFixedPointScale));
    // Unsigned: a step that will be refused for its bound may wrap around here.
    accumulator[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(accumulator[i]) +
                                               static_cast<std::uint64_t>(units));
  }
}

}  // namespace

FixedPointStatus& FixedPointStatus::operator+=(const FixedPointStatus& other) {
  bound += other.bound;
  saturated += other.saturated;
  non_finite += other.non_finite;
  return *this;
}

Magnitude Magnitude::of(std::span<const float> values) {
  Magnitude largest;
  for (const float value : values) {
    const std::int32_t bits = std::bit_cast<std::int32_t>(value) & 0x7FFFFFFF;
    largest.bits_ = bits > largest.bits_ ? bits : largest.bits_;
  }
  return largest;
}

float Magnitude::value() const { return std::bit_cast<float>(bits_); }

FixedPointStatus Magnitude::status() const {
  if (!finite()) return {.non_finite = 1};
  const auto magnitude = static_cast<double>(value());
  if (magnitude >= kFixedPointLimit) return {.saturated = 1};
  // The added unit covers rounding each element and this conversion.
  return {.bound = static_cast<std::int64_t>(magnitude * 0x1p20) + 1};
}

Magnitude add_fixed_point(std::span<const float> gradient, std::span<std::int64_t> accumulator) {
  require(gradient.size() == accumulator.size(), "{} gradients do not fit {} accumulators", gradient.size(),
          accumulator.size());
  Magnitude largest;
  for (std::size_t begin = 0; begin < gradient.size(); begin += kChunk) {
    const std::size_t count = std::min(kChunk, gradient.size() - begin);
    const Magnitude chunk = Magnitude::of(gradient.subspan(begin, count));
    largest.include(chunk);
    if (chunk.value() < kFastLimit) {
      add_small(gradient.data() + begin, accumulator.data() + begin, count);
    } else if (chunk.finite() && chunk.value() < static_cast<float>(kFixedPointLimit)) {
      add_large(gradient.data() + begin, accumulator.data() + begin, count);
    }
  }
  return largest;
}

void fixed_point_mean(std::span<const std::int64_t> sum, double divisor, std::span<float> mean) {
  require(sum.size() == mean.size(), "{} sums do not fit {} means", sum.size(), mean.size());
  for (std::size_t i = 0; i < sum.size(); ++i)
    mean[i] = static_cast<float>(static_cast<double>(sum[i]) / kFixedPointScale / divisor);
}

}  // namespace ranktune
