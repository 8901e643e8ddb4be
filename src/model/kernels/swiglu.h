#pragma once

#include <torch/types.h>

namespace ranktune {

/// silu(gate) * up, elementwise (Shazeer 2020); computed in fp32. gate, up [T,I] in fp32, bf16 or fp16. Only
/// the two inputs are kept for the backward pass.
torch::Tensor swiglu(const torch::Tensor& gate, const torch::Tensor& up);

}  // namespace ranktune
