#pragma once

#include <torch/types.h>

#include "model/architecture.h"

namespace ranktune {

/// Positions [first, first + count) of a sequence whose rotation is that of `length` tokens: the stretching
/// of some models depends on it.
struct RopeSpan {
  std::int64_t first = 0, count = 0;
  std::int64_t length = 0;
  bool training = false;
};

/// Cosines and sines of the rotary embedding (Su et al. 2021), one row a position: two [count, D/2] fp32
/// tensors. Frequencies as transformers computes them, in fp32.
struct RopeTable {
  torch::Tensor cosine, sine;
};
RopeTable make_rope_table(const Architecture& arch, const RopeSpan& span, torch::Device device);

/// Whether the angles, or the queries' scale, of a sequence of that length are others than those of a short
/// one.
bool depends_on_length(const Architecture& arch, std::int64_t length, bool training);

/// What turns the queries and keys of some tokens.
struct Rotation {
  torch::Tensor cosine, sine;  ///< [T, D/2] fp32
  torch::Tensor query_scale;   ///< [T,1,1] fp32; undefined where it is 1 everywhere
};

/// Log-n scaling of the queries of those positions (Su 2021, as the first Qwen has it): [count,1,1] fp32.
torch::Tensor log_n_scale(const Architecture& arch, const RopeSpan& span, torch::Device device);

/// Rotates each head of x [T, heads, D] by its token's angle: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)
/// with x1 the first and x2 the second half of the head. cosine, sine: [T, D/2] fp32, one row a token.
torch::Tensor apply_rope(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine);

}  // namespace ranktune
