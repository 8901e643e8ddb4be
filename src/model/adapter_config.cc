#include "model/adapter_config.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"

namespace ranktune {
namespace {

constexpr const char* kConfigFile = "adapter_config.json";
constexpr std::int64_t kMostRank = 65536;

/// PEFT's switches that change the mathematics, with the one value that is computed here.
const std::map<std::string, Json>& required_switches() {
  static const std::map<std::string, Json> switches{
      {"peft_type", "LORA"}, {"bias", "none"}, {"fan_in_fan_out", false}};
  return switches;
}

/// Keys that are read, and keys that say nothing about what is computed.
bool is_known(const std::string& key) {
  static const std::set<std::string> keys{
      // read
      "alpha_pattern", "ensure_weight_tying", "exclude_modules", "init_lora_weights", "layers_pattern",
      "layers_to_transform", "lora_alpha", "lora_dropout", "modules_to_save", "r", "rank_pattern",
      "target_modules", "trainable_token_indices", "use_dora", "use_rslora",
      // about the file, the way it was made, or unused without a switch of their own
      "auto_mapping", "base_model_name_or_path", "eva_config", "inference_mode", "megatron_core",
      "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type"};
  return keys.contains(key) || required_switches().contains(key);
}

/// null, false, "", [] and {} ask for nothing, whatever the key.
bool asks_for_something(const Json& value) {
  if (value.is_null() || (value.is_boolean() && !value.get<bool>())) return false;
  return !((value.is_string() && value.get<std::string>().empty()) ||
           (value.is_structured() && value.empty()));
}

std::string shown(const Json& value) { return value.dump().substr(0, 80); }

void require_computable(const Json& config, const std::string& where) {
  require(config.is_object(), "{} is not a JSON object", where);
  require(config.contains("peft_type"), "{}: \"peft_type\" is missing", where);
  for (const auto& [key, wanted] : required_switches()) {
    const auto found = config.find(key);
    require(found == config.end() || found->is_null() || *found == wanted,
            "{}: \"{}\" is {}, which is not supported (only {})", where, key,
            found == config.end() ? "" : shown(*found), wanted.dump());
  }
  for (const auto& [key, value] : config.items())
    require(is_known(key) || !asks_for_something(value),
            "{}: \"{}\" is {}, which is not supported; it changes what the adapter computes", where, key,
            shown(value));
}

/// The start values matter where they changed the base model as well.
void require_whole_base(const Json& config, const std::string& where) {
  if (!config.contains("init_lora_weights")) return;
  const Json& init = config["init_lora_weights"];
  static const std::set<std::string> harmless{"gaussian", "eva", "orthogonal"};
  require(init.is_null() || init.is_boolean() || (init.is_string() && harmless.contains(init)),
          "{}: \"init_lora_weights\" is {}: such an adapter belongs to a changed copy of its base model. "
          "Let PEFT convert it (save_pretrained with path_initial_model_for_weight_conversion)",
          where, shown(init));
}

ModuleSelection read_selection(const Json& config, const char* key, const std::string& where) {
  if (!config.contains(key) || config[key].is_null()) return {};
  if (config[key].is_string()) return {.names = {}, .regex = config[key].get<std::string>()};
  return {.names = json_get<std::vector<std::string>>(config, key, where), .regex = {}};
}

ModuleSelection read_targets(const Json& config, const std::string& where) {
  ModuleSelection targets = read_selection(config, "target_modules", where);
  require(!targets.empty(), "{}: \"target_modules\" names nothing", where);
  if (targets.regex == "all-linear") return {.names = {"all-linear"}, .regex = {}};
  return targets;
}

/// One value or a list of them.
template <typename Value>
std::vector<Value> read_some(const Json& config, const char* key, const std::string& where) {
  if (!config.contains(key) || config[key].is_null()) return {};
  if (config[key].is_array()) return json_get<std::vector<Value>>(config, key, where);
  return {json_get<Value>(config, key, where)};
}

/// In the order of the file, because the first key that matches a module counts.
template <typename Value>
ModulePattern<Value> read_pattern(const OrderedJson& config, const char* key, const std::string& where) {
  ModulePattern<Value> pattern;
  if (!config.contains(key) || config[key].is_null()) return pattern;
  require(config[key].is_object(), "{}: \"{}\" is not an object", where, key);
  for (const auto& [module, value] : config[key].items()) {
    require(value.is_number() && value.template get<double>() > 0,
            "{}: \"{}\" gives \"{}\" the value {}, which is not above 0", where, key, module, value.dump());
    if constexpr (std::is_integral_v<Value>)
      require(value.is_number_integer() && value.template get<double>() <= kMostRank,
              "{}: \"{}\" gives \"{}\" the value {}, which is not a possible rank", where, key, module,
              value.dump());
    pattern.emplace_back(module, value.template get<Value>());
  }
  return pattern;
}

/// A list is of the embedding, an object has a list for each module.
ModulePattern<std::vector<std::int64_t>> read_tokens(const OrderedJson& config, const std::string& where) {
  constexpr const char* kKey = "trainable_token_indices";
  ModulePattern<std::vector<std::int64_t>> tokens;
  if (!config.contains(kKey) || config[kKey].is_null()) return tokens;
  const auto add = [&](const std::string& module, const OrderedJson& ids) {
    const bool integers = ids.is_array() && std::all_of(ids.begin(), ids.end(), [](const OrderedJson& id) {
                            return id.is_number_integer();
                          });
    require(integers, "{}: \"{}\" holds {}, which is not a list of token ids", where, kKey,
            ids.dump().substr(0, 80));
    tokens.emplace_back(module, ids.get<std::vector<std::int64_t>>());
  };
  if (config[kKey].is_object()) {
    for (const auto& [module, ids] : config[kKey].items()) add(module, ids);
  } else {
    add("", config[kKey]);
  }
  return tokens;
}

OrderedJson tokens_json(const ModulePattern<std::vector<std::int64_t>>& tokens) {
  if (tokens.empty()) return nullptr;
  if (tokens.size() == 1 && tokens.front().first.empty()) return tokens.front().second;
  OrderedJson json = OrderedJson::object();
  for (const auto& [module, ids] : tokens) json[module] = ids;
  return json;
}

OrderedJson selection_json(const ModuleSelection& selection) {
  if (selection.empty()) return nullptr;
  return selection.regex.empty() ? OrderedJson(selection.names) : OrderedJson(selection.regex);
}

template <typename Value>
OrderedJson list_json(const std::vector<Value>& list) {
  return list.empty() ? OrderedJson(nullptr) : OrderedJson(list);
}

template <typename Value>
OrderedJson pattern_json(const ModulePattern<Value>& pattern) {
  OrderedJson json = OrderedJson::object();
  for (const auto& [module, value] : pattern) json[module] = value;
  return json;
}

}  // namespace

OrderedJson adapter_config(const LoraOptions& options, const std::string& base_model) {
  return OrderedJson{
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path", base_model},
      {"r", options.rank},
      {"lora_alpha", options.alpha},
      {"lora_dropout", options.dropout},
      {"target_modules", selection_json(options.targets)},
      {"exclude_modules", selection_json(options.exclude)},
      {"layers_to_transform", list_json(options.layers_to_transform)},
      {"layers_pattern", list_json(options.layers_pattern)},
      {"rank_pattern", pattern_json(options.rank_pattern)},
      {"alpha_pattern", pattern_json(options.alpha_pattern)},
      {"use_rslora", options.use_rslora},
      {"use_dora", options.use_dora},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"init_lora_weights", true},
      {"inference_mode", true},
      {"modules_to_save", list_json(options.modules_to_save)},
      {"trainable_token_indices", tokens_json(options.trainable_token_indices)},
      {"ensure_weight_tying", options.ensure_weight_tying},
      {"revision", nullptr},
  };
}

LoraOptions read_adapter_config(const Path& adapter_folder) {
  const Path file = adapter_folder / kConfigFile;
  require(std::filesystem::exists(file), "{} is not a PEFT adapter folder: it has no {}",
          adapter_folder.string(), kConfigFile);
  const std::string where = file.string();
  const Json config = read_json_file(file);
  const OrderedJson ordered = OrderedJson::parse(read_file(file));
  require_computable(config, where);
  require_whole_base(config, where);
  LoraOptions options;
  options.rank = json_get<std::int64_t>(config, "r", where);
  require(options.rank >= 1 && options.rank <= kMostRank, "{}: \"r\" is {}, which is not a possible rank",
          where, options.rank);
  options.alpha = json_get_or<double>(config, "lora_alpha", static_cast<double>(options.rank), where);
  options.dropout = json_get_or<double>(config, "lora_dropout", 0.0, where);
  options.targets = read_targets(config, where);
  options.exclude = read_selection(config, "exclude_modules", where);
  options.layers_to_transform = read_some<std::int64_t>(config, "layers_to_transform", where);
  options.layers_pattern = read_some<std::string>(config, "layers_pattern", where);
  options.use_rslora = json_get_or<bool>(config, "use_rslora", false, where);
  options.use_dora = json_get_or<bool>(config, "use_dora", false, where);
  options.rank_pattern = read_pattern<std::int64_t>(ordered, "rank_pattern", where);
  options.alpha_pattern = read_pattern<double>(ordered, "alpha_pattern", where);
  options.modules_to_save = read_some<std::string>(config, "modules_to_save", where);
  options.trainable_token_indices = read_tokens(ordered, where);
  options.ensure_weight_tying = json_get_or<bool>(config, "ensure_weight_tying", false, where);
  return options;
}

}  // namespace ranktune
