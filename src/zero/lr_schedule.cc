#include "zero/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace ranktune {

LrSchedule::LrSchedule(const ScheduleOptions& options, std::int64_t total_steps)
    : kind_(options.kind),
      min_ratio_(options.min_lr_ratio),
      warmup_(options.warmup_steps),
      total_(total_steps) {
  require(total_steps >= 1, "a learning-rate schedule needs at least 1 step, not {}", total_steps);
  require(options.warmup_ratio >= 0.0 && options.warmup_ratio <= 1.0,
          "schedule.warmup_ratio {} is not between 0 and 1", options.warmup_ratio);
  require(min_ratio_ >= 0.0 && min_ratio_ <= 1.0, "schedule.min_lr_ratio {} is not between 0 and 1",
          min_ratio_);
  if (warmup_ < 0) {
    warmup_ = static_cast<std::int64_t>(std::ceil(static_cast<double>(total_steps) * options.warmup_ratio));
  }
}

double LrSchedule::factor(std::int64_t step) const {
  const auto at_least_one = [](std::int64_t n) { return static_cast<double>(std::max<std::int64_t>(1, n)); };
  if (step < warmup_) return static_cast<double>(step) / at_least_one(warmup_);
  double shape = 1.0;
  switch (kind_) {
    case ScheduleKind::kConstant:
      return 1.0;
    case ScheduleKind::kLinear:
      shape = std::max(0.0, static_cast<double>(total_ - step) / at_least_one(total_ - warmup_));
      break;
    case ScheduleKind::kCosine: {
      // Beyond the last step the half wave would rise again.
      const double progress =
          std::min(1.0, static_cast<double>(step - warmup_) / at_least_one(total_ - warmup_));
      shape = std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
      break;
    }
  }
  return shape * (1.0 - min_ratio_) + min_ratio_;
}

}  // namespace ranktune
