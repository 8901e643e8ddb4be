#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ranktune {

/// PEFT's `target_modules` and `exclude_modules`: a list of names, or one regular expression.
struct ModuleSelection {
  std::vector<std::string> names{};  ///< each a module's whole name or its last parts
  std::string regex{};               ///< of the whole name; "": `names` counts

  bool empty() const { return names.empty() && regex.empty(); }
};

/// Other values for single modules; the first key that matches counts (PEFT's rank_pattern, alpha_pattern).
template <typename Value>
using ModulePattern = std::vector<std::pair<std::string, Value>>;

/// A LoRA adapter's shape, with PEFT's meanings (LoraConfig).
struct LoraOptions {
  std::int64_t rank = 8;  ///< r, >= 1
  double alpha = 16;      ///< the update is scaled by alpha / r (rsLoRA: alpha / sqrt(r))
  double dropout = 0;     ///< on the adapter's input while training, [0, 1)
  /// Also the single names "auto" (the family's usual modules) and "all-linear" (every linear but the head).
  ModuleSelection targets{.names = {"auto"}};
  ModuleSelection exclude{};                        ///< of the targets
  std::vector<std::int64_t> layers_to_transform{};  ///< the layers that are targeted; empty: all
  std::vector<std::string> layers_pattern{};        ///< names before the layer's index; empty: any
  bool use_rslora = false;
  bool use_dora = false;
  ModulePattern<std::int64_t> rank_pattern{};
  ModulePattern<double> alpha_pattern{};
  std::string init = "default";  ///< how A and B start (lora_init.h)
  /// Modules that are trained and saved whole, by the ends of their names (trained_modules.h).
  std::vector<std::string> modules_to_save{};
  /// Single tokens whose rows are trained, by the end of a token matrix's name; "": the embedding.
  ModulePattern<std::vector<std::int64_t>> trainable_token_indices{};
  bool ensure_weight_tying = false;  ///< what modules_to_save names stays tied where the model ties it
};

}  // namespace ranktune
