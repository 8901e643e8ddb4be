#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>

namespace ranktune {

/// Causal softmax attention within each example of a packed row. q [T,H,D], k and v [T,Hkv,D] -> [T,H*D];
/// each key/value head serves H/Hkv query heads; scores are scaled by 1/sqrt(D).
torch::Tensor packed_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               std::span<const std::int64_t> lengths);

/// The same for the newest q [T,H,D] of one sequence whose keys and values [S,Hkv,D], S >= T, end with them.
torch::Tensor cached_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v);

}  // namespace ranktune
