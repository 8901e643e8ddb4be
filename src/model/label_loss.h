#pragma once

#include <torch/types.h>

#include "model/token_matrix.h"

namespace ranktune {

/// `scale` times the sum over rows of the cross-entropy of softmax(hidden W^T) against `targets`: natural
/// logarithm, fp32 logits' sum. hidden [N,C] (only rows that have a label), weight [V,C], targets [N] int64
/// -> fp64 scalar. The logits are made and used up in chunks of rows, so that [N,V] never exists; the
/// gradient is formed in the same pass, multiplied by `scale` before it is rounded to the type of `hidden`
/// (fp16 would lose its small values). Differentiable in hidden and, when they require a gradient, in the
/// head's weight and its adapter's rows.
torch::Tensor label_loss(const torch::Tensor& hidden, const OutputHead& head, const torch::Tensor& targets,
                         double scale = 1.0);

/// The losses of the single rows, [N] fp32, without gradient.
torch::Tensor row_losses(const torch::Tensor& hidden, const OutputHead& head, const torch::Tensor& targets);

}  // namespace ranktune
