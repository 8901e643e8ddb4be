#pragma once

#include <torch/types.h>

namespace ranktune {

/// y = x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich 2019), computed in
/// fp32. x [..., C] in fp32, bf16 or fp16, weight [C]; differentiable in both.
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps);

}  // namespace ranktune
