#include "app/adapter_settings.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "model/lora_init.h"
#include "model/module_match.h"
#include "model/trained_modules.h"

namespace ranktune {
namespace {

/// What differs between a configuration and an adapter, each as "lora.rank is 8, the adapter's 16".
class Differences {
 public:
  explicit Differences(const GivenKeys& given) : given_(given) {}

  template <typename Value>
  void compare(const char* key, const Value& wanted, const Value& has) {
    add(key, wanted == has, fmt::format("{} is {}, the adapter's {}", key, wanted, has));
  }
  void add(const char* key, bool same, std::string text) {
    if (!same && given_.contains(key)) texts_.push_back(std::move(text));
  }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  const GivenKeys& given_;
  std::vector<std::string> texts_;
};

/// Names of linears that one of the two adapts and the other does not.
std::vector<std::string> other_targets(Decoder& decoder, const LoraOptions& a, const LoraOptions& b) {
  std::vector<std::string> names;
  for (const Linear* linear : decoder.linears())
    if (is_target(a, linear->name) != is_target(b, linear->name)) names.push_back(linear->name);
  return names;
}

std::vector<std::string> other_saved(Decoder& decoder, const LoraOptions& wanted) {
  std::vector<std::string> names;
  for (const ParameterPtr& weight : decoder.parameters())
    if (is_trained_whole(decoder, wanted, *weight) != (weight->replacement != nullptr))
      names.push_back(weight->name);
  return names;
}

/// The tokens with rows of their own in that matrix, ascending, by the options and in fact.
std::vector<std::int64_t> wanted_tokens(const LoraOptions& wanted, const TokenMatrix& matrix) {
  for (const auto& [end, ids] : wanted.trainable_token_indices)
    if (matrix.name.ends_with(end)) return ids;
  return {};
}
std::vector<std::int64_t> trained_tokens(const TokenMatrix& matrix) {
  if (!matrix.rows) return {};
  const torch::Tensor ids = std::get<0>(matrix.rows->ids.to(torch::kCPU).sort());
  const auto* first = ids.const_data_ptr<std::int64_t>();
  return {first, first + ids.numel()};
}

void compare_tokens(Decoder& decoder, const LoraOptions& wanted, Differences& differences) {
  const bool follows = decoder.head().rows && decoder.head().rows == decoder.embedding().rows;
  for (const TokenMatrix* matrix : {&decoder.embedding(), &decoder.head()}) {
    const std::vector<std::int64_t> ids = wanted_tokens(wanted, *matrix), has = trained_tokens(*matrix);
    if (follows && matrix == &decoder.head() && ids.empty()) continue;
    for (const char* key :
         {"lora.trainable_tokens", "lora.trainable_token_indices", "lora.trainable_token_modules"})
      differences.add(key, ids == has,
                      fmt::format("{} asks for the tokens [{}] of {}, the adapter has [{}]", key,
                                  fmt::join(ids, ", "), matrix->name, fmt::join(has, ", ")));
  }
}

}  // namespace

std::vector<std::int64_t> trainable_token_ids(const LoraConfig& config, const Tokenizer& tokenizer) {
  std::set<std::int64_t> ids(config.trainable_token_indices.begin(), config.trainable_token_indices.end());
  for (const std::string& text : config.trainable_tokens) {
    const auto id = tokenizer.id_of(text);
    require(
        id.has_value(),
        "lora.trainable_tokens: \"{}\" is not one token of this model but {}; name tokens of its tokenizer, "
        "or give ids in lora.trainable_token_indices",
        text, tokenizer.encode(text).size());
    ids.insert(*id);
  }
  return {ids.begin(), ids.end()};
}

LoraOptions lora_options(const LoraConfig& config, const std::vector<std::int64_t>& tokens) {
  LoraOptions options{.rank = config.rank,
                      .alpha = config.alpha,
                      .dropout = config.dropout,
                      .targets = parse_selection(config.targets),
                      .exclude = parse_selection(config.exclude_modules),
                      .layers_to_transform = config.layers_to_transform,
                      .use_rslora = config.rslora,
                      .use_dora = config.dora,
                      .init = config.init,
                      .modules_to_save = config.modules_to_save,
                      .ensure_weight_tying = config.ensure_weight_tying};
  pissa_method(options.init);  // refuses other text
  options.rank_pattern.assign(config.rank_pattern.begin(), config.rank_pattern.end());
  options.alpha_pattern.assign(config.alpha_pattern.begin(), config.alpha_pattern.end());
  if (tokens.empty()) return options;
  for (const std::string& module : config.trainable_token_modules)
    options.trainable_token_indices.emplace_back(module, tokens);
  if (options.trainable_token_indices.empty()) options.trainable_token_indices.emplace_back("auto", tokens);
  return options;
}

void require_same_settings(Decoder& decoder, const GivenKeys& given, const LoraOptions& wanted,
                           LoraOptions& adapter) {
  Differences differences(given);
  differences.compare("lora.rank", wanted.rank, adapter.rank);
  differences.compare("lora.alpha", wanted.alpha, adapter.alpha);
  differences.compare("lora.rslora", wanted.use_rslora, adapter.use_rslora);
  differences.compare("lora.dora", wanted.use_dora, adapter.use_dora);
  differences.compare("lora.ensure_weight_tying", wanted.ensure_weight_tying, adapter.ensure_weight_tying);
  const auto by_module = [&](const char* key, const auto& value_of) {
    std::vector<std::string> names;
    for (const Linear* linear : decoder.linears())
      if (linear->lora && value_of(wanted, linear->name) != value_of(adapter, linear->name))
        names.push_back(linear->name);
    differences.add(
        key, names.empty(),
        fmt::format("{} gives another value to {} than the adapter has", key, fmt::join(names, ", ")));
  };
  by_module("lora.rank_pattern", rank_of);
  by_module("lora.alpha_pattern", alpha_of);
  const std::vector<std::string> targets = other_targets(decoder, wanted, adapter);
  for (const char* key : {"lora.targets", "lora.exclude_modules", "lora.layers_to_transform"})
    differences.add(key, targets.empty(),
                    fmt::format("{} and the adapter do not agree about {}", key, fmt::join(targets, ", ")));
  const std::vector<std::string> saved = other_saved(decoder, wanted);
  differences.add(
      "lora.modules_to_save", saved.empty(),
      fmt::format("lora.modules_to_save and the adapter do not agree about {}", fmt::join(saved, ", ")));
  compare_tokens(decoder, wanted, differences);
  differences.add("lora.init", wanted.init == "default",
                  fmt::format("lora.init is \"{}\", but the adapter has its values already", wanted.init));
  require(
      differences.texts().empty(),
      "model.adapter has settings of its own, with which the configuration does not agree: {}; leave these "
      "keys out, or give the adapter's values",
      fmt::join(differences.texts(), "; "));
  if (!given.contains("lora.dropout")) return;
  adapter.dropout = wanted.dropout;
  for (Linear* linear : decoder.linears())
    if (linear->lora) linear->lora->dropout = wanted.dropout;
}

}  // namespace ranktune
