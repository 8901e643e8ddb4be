#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "data/step_batch.h"
#include "model/decoder.h"

namespace ranktune {

/// What one slot contributes to a step.
struct SlotGradients {
  double loss_sum = 0;                   ///< nats, summed over the slot's supervised tokens
  std::vector<torch::Tensor> gradients;  ///< of loss_scale times that sum, in the order of the leaves
};

/// Forward and backward over one packed slot. Depends on the slot's content, the weights, mode.dropout_seed
/// and the scale alone. The gradients are those of `loss_scale` times the loss, so that small ones survive in
/// fp16.
SlotGradients slot_gradients(Decoder& decoder, const Slot& slot, const std::vector<torch::Tensor>& leaves,
                             const ForwardMode& mode, double loss_scale = 1.0);

/// The summed loss alone, without dropout.
double slot_loss(Decoder& decoder, const Slot& slot);

}  // namespace ranktune
