#pragma once

#include <torch/types.h>

#include <string>

#include "comm/communicator.h"
#include "verify/figure.h"
#include "verify/golden_model.h"

namespace ranktune {

/// Where a trajectory runs. Every rank takes part; rank 0 compares.
struct TrajectoryRanks {
  Communicator& control;  ///< host memory
  Communicator& data;     ///< memory of `device`
  torch::Device device = torch::kCPU;
};

/// Repeats the recorded training of a variant ("full": of all weights) with a micro-batch as a slot, divided
/// over the ranks: learning rates, losses, gradient norms, the moments, the final parameters and the logits
/// they give. Throws, on every rank alike, where it cannot be run.
void check_trajectory(GoldenModel& golden, const std::string& variant, const TrajectoryRanks& ranks,
                      Findings& findings);

}  // namespace ranktune
