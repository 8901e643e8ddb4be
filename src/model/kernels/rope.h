#pragma once

#include <torch/types.h>

#include "model/architecture.h"

namespace ranktune {

/// Cosines and sines of the rotary embedding (Su et al. 2021) for positions 0..length-1: two [length, D/2]
/// fp32 tensors. Frequencies as transformers computes them, in fp32; llama3 scaling as in Llama 3.1's
/// reference.
struct RopeTable {
  torch::Tensor cosine, sine;
};
RopeTable make_rope_table(const Architecture& arch, std::int64_t length, torch::Device device);

/// Rotates each head of x [T, heads, D] by its token's angle: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)
/// with x1 the first and x2 the second half of the head. cosine, sine: [T, D/2] fp32, one row a token.
torch::Tensor apply_rope(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine);

}  // namespace ranktune
