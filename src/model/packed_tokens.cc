#include "model/packed_tokens.h"

#include "base/error.h"

namespace ranktune {

PackedTokens pack_tokens(std::span<const std::int32_t> ids, std::span<const std::int32_t> boundaries,
                         torch::Device device) {
  const auto tokens = static_cast<std::int64_t>(ids.size());
  require(boundaries.size() >= 2 && boundaries.front() == 0 && boundaries.back() == tokens,
          "a packed row of {} tokens has boundaries that do not cover it", tokens);
  torch::Tensor wide = torch::empty({tokens}, torch::kInt64),
                positions = torch::empty({tokens}, torch::kInt64);
  auto* id = wide.data_ptr<std::int64_t>();
  auto* position = positions.data_ptr<std::int64_t>();
  PackedTokens packed;
  for (std::size_t e = 0; e + 1 < boundaries.size(); ++e) {
    require(boundaries[e] < boundaries[e + 1], "example {} of a packed row is empty", e);
    packed.lengths.push_back(boundaries[e + 1] - boundaries[e]);
    for (std::int32_t t = boundaries[e]; t < boundaries[e + 1]; ++t) {
      id[t] = ids[static_cast<std::size_t>(t)];
      position[t] = t - boundaries[e];
    }
  }
  packed.ids = wide.to(device);
  packed.positions = positions.to(device);
  return packed;
}

}  // namespace ranktune
