#pragma once

#include <cstdint>

#include "zero/zero_options.h"

namespace ranktune {

/// Factor on the peak learning rate for step 0, 1, … of `total_steps`; the numbers of transformers'
/// get_{constant,linear,cosine}_schedule_with_warmup (and of cosine_with_min_lr for a minimum). Step 0 of a
/// warm-up has factor 0.
class LrSchedule {
 public:
  /// Throws for a ratio outside [0, 1] or total_steps < 1.
  LrSchedule(const ScheduleOptions& options, std::int64_t total_steps);

  std::int64_t warmup_steps() const { return warmup_; }
  double factor(std::int64_t step) const;

 private:
  ScheduleKind kind_;
  double min_ratio_;
  std::int64_t warmup_;
  std::int64_t total_;
};

}  // namespace ranktune
