#include "model/trained_modules.h"

#include <fmt/ranges.h>
#include <torch/utils.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.h"

namespace ranktune {
namespace {

constexpr const char* kPrefix = "base_model.model.";

/// PEFT compares ends of texts here, not of parts of names.
bool is_named(const LoraOptions& options, const std::string& module) {
  return std::any_of(options.modules_to_save.begin(), options.modules_to_save.end(),
                     [&](const std::string& end) { return module.ends_with(end); });
}

/// The modules named that the parameter lies in: its own and those around it.
std::vector<std::string> named_around(const LoraOptions& options, const Parameter& weight) {
  std::vector<std::string> named;
  for (std::size_t end = weight.name.find('.'); end != std::string::npos;
       end = weight.name.find('.', end + 1))
    if (const std::string module = weight.name.substr(0, end); is_named(options, module))
      named.push_back(module);
  return named;
}

/// The condition on which PEFT ties what it saves.
bool names_a_token_matrix(const LoraOptions& options) {
  return std::any_of(options.modules_to_save.begin(), options.modules_to_save.end(),
                     [](const std::string& item) {
                       const std::string last = item.substr(item.rfind('.') + 1);
                       return last == "embed_tokens" || last == "lm_head";
                     });
}

void replace(const ParameterPtr& weight) {
  weight->replacement = std::make_shared<Parameter>(
      kPrefix + weight->name, weight->value.to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true));
}

void require_without_lora(Decoder& decoder) {
  for (const Linear* linear : decoder.linears())
    require(
        !linear->lora || !linear->weight->replacement,
        "modules_to_save: {} has LoRA matrices too; name it by the last parts of its name or take it out of "
        "the targets",
        linear->name);
}

/// Head and embedding are to be one trained matrix.
bool trains_tied(const Decoder& decoder, const LoraOptions& options) {
  return decoder.architecture().tied_head && options.ensure_weight_tying && names_a_token_matrix(options);
}

void add_replacements(Decoder& decoder, const LoraOptions& options) {
  const auto names = [&](const TokenMatrix& matrix) { return is_named(options, matrix.name); };
  if (!trains_tied(decoder, options) && (names(decoder.embedding()) || names(decoder.head())))
    decoder.untie_head();
  for (const ParameterPtr& weight : decoder.parameters()) {
    const std::vector<std::string> named = named_around(options, *weight);
    require(named.size() <= 1, "modules_to_save: {} lies in {}, which is saved whole; name one of them",
            named.empty() ? "" : named.back(), named.empty() ? "" : named.front());
    if (is_trained_whole(decoder, options, *weight)) replace(weight);
  }
  require_without_lora(decoder);
}

using Ids = std::vector<std::int64_t>;

void add_rows(TokenMatrix& matrix, const Ids& ids) {
  require(!matrix.weight->replacement,
          "trainable_token_indices: {} is trained whole (modules_to_save); give one of the two", matrix.name);
  const torch::Tensor& weight = matrix.weight->value;
  const std::int64_t vocabulary = weight.size(0);
  torch::Tensor place = torch::full({vocabulary}, -1, torch::kInt64);
  auto* const row_of = place.data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < vocabulary,
            "trainable_token_indices: there is no token {}; {} has {} rows", ids[i], matrix.name, vocabulary);
    require(row_of[ids[i]] == -1, "trainable_token_indices: token {} is named twice", ids[i]);
    row_of[ids[i]] = static_cast<std::int64_t>(i);
  }
  auto rows = std::make_shared<TokenRows>();
  rows->ids = torch::tensor(ids, torch::kInt64).to(weight.device());
  rows->place = place.to(weight.device());
  rows->rows = std::make_shared<Parameter>(kPrefix + matrix.name + ".token_adapter.trainable_tokens_delta",
                                           weight.index_select(0, rows->ids).to(torch::kFloat32));
  matrix.rows = std::move(rows);
}

void add_all_rows(Decoder& decoder, const LoraOptions& options) {
  TokenMatrix &embedding = decoder.embedding(), &head = decoder.head();
  std::optional<Ids> of_embedding, of_head;
  for (const auto& [end, ids] : options.trainable_token_indices) {
    require(!ids.empty(), "trainable_token_indices: no token is given for \"{}\"", end);
    if (end.empty() || embedding.name.ends_with(end)) {
      of_embedding = ids;
    } else {
      require(head.name.ends_with(end),
              "trainable_token_indices: tokens have rows in {} and {}, but \"{}\" is neither", embedding.name,
              head.name, end);
      of_head = ids;
    }
  }
  if (of_embedding) add_rows(embedding, *of_embedding);
  const bool follows =
      decoder.architecture().tied_head && of_embedding && (!of_head || *of_head == *of_embedding);
  if (follows) {
    head.rows = embedding.rows;
  } else if (of_head) {
    require(!of_embedding || !decoder.architecture().tied_head || !options.ensure_weight_tying,
            "trainable_token_indices: {} and {} are tied (ensure_weight_tying), but are given other tokens",
            embedding.name, head.name);
    add_rows(head, *of_head);
  }
}

}  // namespace

bool is_trained_whole(Decoder& decoder, const LoraOptions& options, const Parameter& weight) {
  const bool is_embedding = weight.name == decoder.embedding().weight->name;
  return !named_around(options, weight).empty() || (is_embedding && trains_tied(decoder, options));
}

void add_trained_modules(Decoder& decoder, const LoraOptions& options) {
  const torch::NoGradGuard no_grad;
  const bool was_tied = decoder.architecture().tied_head;
  add_replacements(decoder, options);
  require(
      options.trainable_token_indices.empty() || decoder.architecture().tied_head == was_tied,
      "trainable_token_indices does not go with a modules_to_save that parts {} from {}; leave one of them "
      "out",
      decoder.head().name, decoder.embedding().name);
  add_all_rows(decoder, options);
}

void check_trained_modules(Decoder& decoder, const LoraOptions& options) {
  std::set<std::string> modules{decoder.head().name};
  for (const ParameterPtr& weight : decoder.parameters())
    for (std::size_t end = weight->name.find('.'); end != std::string::npos;
         end = weight->name.find('.', end + 1))
      modules.insert(weight->name.substr(0, end));
  std::set<std::string> ends;
  for (const std::string& module : modules)
    if (const std::string last = module.substr(module.rfind('.') + 1);
        last.find_first_not_of("0123456789") != std::string::npos)
      ends.insert(last);
  for (const std::string& item : options.modules_to_save)
    require(std::any_of(modules.begin(), modules.end(),
                        [&](const std::string& module) { return module.ends_with(item); }),
            "lora.modules_to_save: no module of this model is called \"{}\"; it has {}", item,
            fmt::join(ends, ", "));
}

ParameterList trained_module_parameters(Decoder& decoder) {
  ParameterList all;
  for (const ParameterPtr& weight : decoder.parameters())
    if (weight->replacement) all.push_back(weight->replacement);
  const TokenMatrix &embedding = decoder.embedding(), &head = decoder.head();
  if (embedding.rows) all.push_back(embedding.rows->rows);
  if (head.rows && head.rows != embedding.rows) all.push_back(head.rows->rows);
  return all;
}

std::vector<std::pair<std::string, std::string>> stored_again(Decoder& decoder) {
  const Parameter& weight = *decoder.embedding().weight;
  if (!weight.replacement || decoder.head().weight != decoder.embedding().weight) return {};
  return {{kPrefix + decoder.head().name + ".weight", weight.replacement->name}};
}

void merge_trained_modules(Decoder& decoder) {
  const torch::NoGradGuard no_grad;
  for (const ParameterPtr& weight : decoder.parameters()) {
    if (!weight->replacement) continue;
    weight->value = weight->replacement->value.to(weight->value.scalar_type());
    weight->replacement.reset();
  }
  TokenMatrix &embedding = decoder.embedding(), &head = decoder.head();
  if (head.rows != embedding.rows) decoder.untie_head();
  const auto merge = [](TokenMatrix& matrix) {
    if (!matrix.rows) return;
    torch::Tensor& weight = matrix.weight->value;
    weight = weight.index_copy(0, matrix.rows->ids, matrix.rows->rows->value.to(weight.scalar_type()));
    matrix.rows.reset();
  };
  if (decoder.architecture().tied_head) head.rows.reset();
  merge(embedding);
  merge(head);
}

}  // namespace ranktune
