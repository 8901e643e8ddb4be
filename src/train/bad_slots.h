#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "data/step_batch.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {

/// A slot that a rank computed: its number in the batch and its summed loss.
struct ComputedSlot {
  std::size_t number = 0;
  double loss_sum = 0;
};

/// Why a step changed nothing, for a message: "slot 3 on rank 1 (host n2), rows 17, 22: NaN or infinity in
/// the gradient of NAME; …". `own`: this rank's slots in the order in which they were accumulated. The same
/// text on every rank; collective over `control`.
std::string describe_bad_slots(const StepBatch& batch, const std::vector<ComputedSlot>& own,
                               const Zero2Optimizer& optimizer, Communicator& control);

/// The slot with the highest mean loss: "slot 3 on rank 1 (host n2), rows 17, 22, loss 9.13". The same text
/// on every rank; collective.
std::string describe_worst_slot(const StepBatch& batch, const std::vector<ComputedSlot>& own,
                                Communicator& control);

}  // namespace ranktune
