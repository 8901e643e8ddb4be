#include "model/lora.h"

#include <fmt/ranges.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "model/lora_init.h"
#include "model/module_match.h"
#include "model/trained_modules.h"
#include "model/weight_names.h"

namespace ranktune {
namespace {

std::uint64_t name_seed(const std::string& name) {
  std::uint64_t seed = 0;
  for (const char c : name) seed = mix_seed(seed, static_cast<unsigned char>(c));
  return seed;
}

std::string last_part(const std::string& module) { return module.substr(module.rfind('.') + 1); }

[[noreturn]] void fail_target(const std::vector<Linear*>& linears, const std::string& target) {
  std::set<std::string> known;
  for (const Linear* linear : linears) known.insert(last_part(linear->name));
  fail("lora.targets: no module of this model is called \"{}\"; it has {} (or use \"all-linear\")", target,
       fmt::join(known, ", "));
}

/// PEFT would put an adapter on these too.
void require_not_targeted(const Decoder& decoder, const LoraOptions& options) {
  const ModelNames names = model_names(decoder.architecture().family);
  for (const std::string& module : {names.embedding, names.head})
    require(!is_target(options, module),
            "lora.targets: {} cannot have an adapter; leave it out of lora.targets, or name it in "
            "lora.modules_to_save, which trains it whole",
            module);
}

}  // namespace

LoraOptions resolve_targets(Decoder& decoder, LoraOptions options) {
  const std::vector<Linear*> linears = decoder.linears();
  const std::vector<std::string> names = options.targets.names;
  if (names == std::vector<std::string>{"auto"}) {
    options.targets.names = usual_targets(decoder.architecture().family);
  } else if (names == std::vector<std::string>{"all-linear"}) {
    std::set<std::string> all;
    for (const Linear* linear : linears) all.insert(last_part(linear->name));
    options.targets.names.assign(all.begin(), all.end());
  }
  auto& tokens = options.trainable_token_indices;
  if (tokens.size() == 1 && tokens.front().first == "auto") {
    tokens.front().first = decoder.embedding().name;
    if (!decoder.architecture().tied_head) tokens.emplace_back(decoder.head().name, tokens.front().second);
  }
  return options;
}

void check_targets(Decoder& decoder, const LoraOptions& options) {
  const std::vector<Linear*> linears = decoder.linears();
  for (const std::string& name : options.targets.names)
    if (std::none_of(linears.begin(), linears.end(), [&](const Linear* linear) {
          return is_selected({.names = {name}, .regex = {}}, linear->name);
        }))
      fail_target(linears, name);
  require_not_targeted(decoder, options);
  check_trained_modules(decoder, options);
}

void add_lora(Decoder& decoder, const LoraOptions& options, std::uint64_t seed) {
  const torch::NoGradGuard no_grad;
  std::uint64_t site = 0;
  bool any = false;
  for (Linear* linear : decoder.linears()) {
    ++site;
    if (!is_target(options, linear->name)) continue;
    any = true;
    const std::int64_t rank = rank_of(options, linear->name);
    const auto ranks = static_cast<double>(rank);
    const std::string base = "base_model.model." + linear->name;
    const std::uint64_t own_seed = mix_seed(seed, name_seed(base));
    auto lora = std::make_unique<LoraUpdate>();
    lora->a = std::make_shared<Parameter>(
        base + ".lora_A.weight",
        new_lora_a(options, rank, linear->in_features(), own_seed).to(decoder.device()));
    lora->b = std::make_shared<Parameter>(base + ".lora_B.weight",
                                          torch::zeros({linear->out_features(), rank}).to(decoder.device()));
    lora->scale = alpha_of(options, linear->name) / (options.use_rslora ? std::sqrt(ranks) : ranks);
    lora->dropout = options.dropout;
    lora->site = site;
    linear->lora = std::move(lora);
    if (options.use_dora)
      linear->lora->magnitude =
          std::make_shared<Parameter>(base + ".lora_magnitude_vector", row_lengths(*linear));
  }
  require(
      any,
      "no linear of this model is among the adapter's target modules ({}); was it made for another model?",
      options.targets.regex.empty() ? fmt::format("{}", fmt::join(options.targets.names, ", "))
                                    : options.targets.regex);
  add_trained_modules(decoder, options);
}

ParameterList lora_parameters(Decoder& decoder) {
  ParameterList all;
  for (Linear* linear : decoder.linears()) {
    if (!linear->lora) continue;
    all.insert(all.end(), {linear->lora->a, linear->lora->b});
    if (linear->lora->magnitude) all.push_back(linear->lora->magnitude);
  }
  const ParameterList others = trained_module_parameters(decoder);
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

bool stays_fp32(const Parameter& parameter) { return parameter.name.ends_with(".lora_magnitude_vector"); }

void use_compute_dtype(Decoder& decoder) {
  for (const ParameterPtr& parameter : lora_parameters(decoder))
    if (!stays_fp32(*parameter)) parameter->value = parameter->value.to(decoder.dtype());
}

void merge_lora(Decoder& decoder) {
  const torch::NoGradGuard no_grad;
  for (Linear* linear : decoder.linears()) {
    if (!linear->lora) continue;
    linear->weight->value =
        merged_rows(*linear, 0, linear->out_features()).to(linear->weight->value.scalar_type());
    linear->lora.reset();
  }
  merge_trained_modules(decoder);
}

}  // namespace ranktune
