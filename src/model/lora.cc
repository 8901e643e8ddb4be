#include "model/lora.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/random.h"

namespace ranktune {
namespace {

bool ends_with_module(const std::string& name, const std::string& target) {
  return name == target || (name.size() > target.size() && name.ends_with(target) &&
                            name[name.size() - target.size() - 1] == '.');
}

std::uint64_t name_seed(const std::string& name) {
  std::uint64_t seed = 0;
  for (const char c : name) seed = mix_seed(seed, static_cast<unsigned char>(c));
  return seed;
}

torch::Tensor uniform(std::int64_t rows, std::int64_t columns, float bound, std::uint64_t seed) {
  torch::Tensor values = torch::empty({rows, columns});
  float* out = values.data_ptr<float>();
  const CounterRandom random(seed);
  for (std::int64_t i = 0; i < rows * columns; ++i)
    out[i] = static_cast<float>(random.uniform(static_cast<std::uint64_t>(i)) * 2.0 - 1.0) * bound;
  return values;
}

/// PEFT matches a pattern's key like a target: the module's name ends with it.
template <typename Value>
Value pattern_value(const std::map<std::string, Value>& pattern, const std::string& name, Value fallback) {
  for (const auto& [key, value] : pattern)
    if (ends_with_module(name, key)) return value;
  return fallback;
}

void require_targets_hit(const std::vector<Linear*>& linears, const std::vector<std::string>& targets) {
  for (const std::string& target : targets) {
    if (target == "all-linear" || std::any_of(linears.begin(), linears.end(), [&](const Linear* linear) {
          return ends_with_module(linear->name, target);
        }))
      continue;
    std::set<std::string> known;
    for (const Linear* linear : linears) known.insert(linear->name.substr(linear->name.rfind('.') + 1));
    fail("lora.targets: no module of this model is called \"{}\"; it has {} (or use \"all-linear\")", target,
         fmt::join(known, ", "));
  }
}

}  // namespace

bool is_target(const std::string& name, const std::vector<std::string>& targets) {
  return std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
    return target == "all-linear" || ends_with_module(name, target);
  });
}

void add_lora(Decoder& decoder, const LoraOptions& options, std::uint64_t seed) {
  const std::vector<Linear*> linears = decoder.linears();
  require_targets_hit(linears, options.targets);
  std::uint64_t site = 0;
  for (Linear* linear : linears) {
    ++site;
    if (!is_target(linear->name, options.targets)) continue;
    const std::int64_t rank = pattern_value(options.rank_pattern, linear->name, options.rank);
    const double alpha = pattern_value(options.alpha_pattern, linear->name, options.alpha);
    const auto ranks = static_cast<double>(rank);
    const std::string base = "base_model.model." + linear->name;
    const float bound = 1.0f / std::sqrt(static_cast<float>(linear->in_features()));
    auto lora = std::make_unique<LoraUpdate>();
    lora->a = std::make_shared<Parameter>(
        base + ".lora_A.weight",
        uniform(rank, linear->in_features(), bound, mix_seed(seed, name_seed(base))).to(decoder.device()));
    lora->b = std::make_shared<Parameter>(base + ".lora_B.weight",
                                          torch::zeros({linear->out_features(), rank}).to(decoder.device()));
    lora->scale = alpha / (options.use_rslora ? std::sqrt(ranks) : ranks);
    lora->dropout = options.dropout;
    lora->site = site;
    linear->lora = std::move(lora);
  }
}

ParameterList lora_parameters(Decoder& decoder) {
  ParameterList all;
  for (Linear* linear : decoder.linears())
    if (linear->lora) all.insert(all.end(), {linear->lora->a, linear->lora->b});
  return all;
}

}  // namespace ranktune
