#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace ranktune {

/// The outside names of one decoder layer's modules (without ".weight"); "" where the family has none.
struct LayerNames {
  std::string input_norm{}, post_norm{};
  std::string q{}, k{}, v{};  ///< separate projections, or
  std::string qkv{};          ///< the fused one
  std::string o{}, q_norm{}, k_norm{};
  std::string gate{}, up{}, down{};
};

/// The outside names of the modules around the layers.
struct ModelNames {
  std::string embedding, final_norm, head;
};

ModelNames model_names(Family family);
LayerNames layer_names(Family family, std::int64_t layer);
/// The modules that adapters of this family usually have, by the last parts of their names.
std::vector<std::string> usual_targets(Family family);

}  // namespace ranktune
