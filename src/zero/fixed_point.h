#pragma once

#include <cstdint>
#include <span>

namespace ranktune {

/// Gradients of the summed token loss as integers: one unit is 2^-40. Integer sums are associative, so
/// neither order nor division of the work can change a bit of them.
inline constexpr int kFixedPointBits = 40;
inline constexpr double kFixedPointScale = 0x1p40;
/// |gradient| from which one slot alone saturates: 2^23 units of 1.
inline constexpr double kFixedPointLimit = 0x1p23;

/// What slots report about the size of their gradients. Fields of different slots and ranks are added, so the
/// verdict depends on the slots alone, not on who summed them in which order.
struct FixedPointStatus {
  std::int64_t bound = 0;       ///< sum over slots of an upper bound of |gradient|, in units of 2^-20
  std::int64_t saturated = 0;   ///< slots with a finite gradient at or above the limit
  std::int64_t non_finite = 0;  ///< slots with NaN or Inf

  FixedPointStatus& operator+=(const FixedPointStatus& other);
  /// Below this sum of bounds no partial sum of the slots, in any order, leaves 64 bits.
  bool fits() const { return saturated == 0 && non_finite == 0 && bound < (std::int64_t{1} << 43); }
};

/// Largest magnitude among floats, as the bits of its absolute value: ordered like the magnitudes, NaN above
/// Inf.
class Magnitude {
 public:
  void include(Magnitude other) { bits_ = other.bits_ > bits_ ? other.bits_ : bits_; }
  static Magnitude of(std::span<const float> values);
  float value() const;
  bool finite() const { return bits_ < 0x7F800000; }
  /// What a slot of this largest magnitude reports.
  FixedPointStatus status() const;

 private:
  std::int32_t bits_ = 0;
};

/// accumulator[i] += gradient[i] * 2^40, rounded to nearest even; returns the largest magnitude. Where that
/// is beyond the limit the sums are meaningless (but defined), and the status says so.
Magnitude add_fixed_point(std::span<const float> gradient, std::span<std::int64_t> accumulator);

/// mean[i] = sum[i] * 2^-40 / divisor, computed in double and rounded once.
void fixed_point_mean(std::span<const std::int64_t> sum, double divisor, std::span<float> mean);

}  // namespace ranktune
