#pragma once

#include <cstdint>
#include <vector>

#include "zero/flat_layout.h"

namespace ranktune {

/// One rank's optimizer state in host memory: range.size() floats each, in flat order.
struct OptimizerSnapshot {
  FlatRange range;
  std::int64_t total = 0;    ///< elements of the whole layout
  std::int64_t updates = 0;  ///< AdamW updates done (its `step`); skipped steps do not count
  std::vector<float> exp_avg{};
  std::vector<float> exp_avg_sq{};
  std::vector<float> master{};  ///< empty where the fp32 parameters themselves are the master
};

}  // namespace ranktune
