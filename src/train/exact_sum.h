#pragma once

#include <cmath>
#include <cstdint>

#include "base/error.h"

namespace ranktune {

/// Losses as integers, so that their sum over slots and ranks does not depend on any order. 2^-30 nats are
/// far below the rounding of an fp32 loss, and 2^33 nats far above any step's sum.
inline constexpr double kLossScale = 0x1p30;

inline bool is_countable_loss(double loss) { return std::isfinite(loss) && std::fabs(loss) < 0x1p32; }

inline std::int64_t loss_to_fixed(double loss) {
  require(is_countable_loss(loss), "a loss of {} nats cannot be summed", loss);
  return std::llrint(loss * kLossScale);
}

inline double loss_from_fixed(std::int64_t fixed) { return static_cast<double>(fixed) / kLossScale; }

}  // namespace ranktune
