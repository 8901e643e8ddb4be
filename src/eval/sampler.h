#pragma once

#include <torch/types.h>

#include <cstdint>

namespace ranktune {

struct SamplingOptions {
  double temperature = 0;  ///< 0: greedy
  double top_p = 1;        ///< nucleus: the smallest set of tokens whose probability reaches it, (0, 1]
  std::uint64_t seed = 0;  ///< the same seed gives the same text
};

/// The next token for logits [V] fp32; `index` is its place in the generation, so that every draw is its own.
std::int32_t sample(const torch::Tensor& logits, const SamplingOptions& options, std::uint64_t index);

}  // namespace ranktune
