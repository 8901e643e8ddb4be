#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

namespace ranktune {

/// Examples laid back to back in one row of T tokens. Attention and positions are confined to each example.
struct PackedTokens {
  torch::Tensor ids;                  ///< [T] int64 on the model's device
  torch::Tensor positions;            ///< [T] int64, restarting at 0 in each example
  std::vector<std::int64_t> lengths;  ///< of the examples; their sum is T
};

/// `boundaries`: examples+1 ascending offsets from 0 to ids.size().
PackedTokens pack_tokens(std::span<const std::int32_t> ids, std::span<const std::int32_t> boundaries,
                         torch::Device device);

}  // namespace ranktune
