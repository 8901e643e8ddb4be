#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ranktune {

/// A LoRA adapter's shape, with PEFT's meanings (LoraConfig).
struct LoraOptions {
  std::int64_t rank = 8;  ///< r, >= 1
  double alpha = 16;      ///< the update is scaled by alpha / r (rsLoRA: alpha / sqrt(r))
  double dropout = 0;     ///< on the adapter's input while training, [0, 1)
  std::vector<std::string> targets{"all-linear"};  ///< module name suffixes, or "all-linear"
  bool use_rslora = false;
  std::map<std::string, std::int64_t>
      rank_pattern;                             ///< other ranks for modules whose name matches (PEFT's rule)
  std::map<std::string, double> alpha_pattern;  ///< likewise for alpha
};

}  // namespace ranktune
