#include "model/adapter.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "model/lora.h"
#include "storage/safetensors_writer.h"
#include "tensor/dtype.h"
#include "tensor/from_storage.h"

namespace ranktune {
namespace {

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr const char* kOriginFile = "ranktune.json";

/// PEFT's switches that change the mathematics, with the one value that is computed here.
const std::map<std::string, Json>& required_switches() {
  static const std::map<std::string, Json> switches{
      {"peft_type", "LORA"},
      {"use_dora", false},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"lora_bias", false},
      {"modules_to_save", nullptr},
      {"layers_to_transform", nullptr},
      {"layer_replication", nullptr},
      {"target_parameters", nullptr},
      {"trainable_token_indices", nullptr},
      {"alora_invocation_tokens", nullptr},
      {"exclude_modules", nullptr},
      {"use_qalora", false},
      {"use_bdlora", nullptr},
      {"megatron_config", nullptr},
  };
  return switches;
}

std::vector<std::string> read_targets(const Json& config, const std::string& where) {
  const Json& targets = config.contains("target_modules") ? config["target_modules"] : Json();
  if (targets.is_string() && targets == "all-linear") return {"all-linear"};
  require(targets.is_array() && !targets.empty(),
          "{}: \"target_modules\" is {}, but a list of module names is needed (a regular expression is not "
          "supported)",
          where, targets.dump().substr(0, 80));
  return json_get<std::vector<std::string>>(config, "target_modules", where);
}

/// The shortest module names PEFT needs to find the same modules again.
std::vector<std::string> last_parts(const std::vector<std::string>& modules) {
  std::set<std::string> names;
  for (const std::string& module : modules) names.insert(module.substr(module.rfind('.') + 1));
  return {names.begin(), names.end()};
}

}  // namespace

OrderedJson adapter_config(const LoraOptions& options, const std::vector<std::string>& modules,
                           const std::string& base_model) {
  const bool all =
      std::find(options.targets.begin(), options.targets.end(), "all-linear") != options.targets.end();
  return OrderedJson{
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path", base_model},
      {"r", options.rank},
      {"lora_alpha", options.alpha},
      {"lora_dropout", options.dropout},
      {"target_modules", all ? last_parts(modules) : options.targets},
      {"rank_pattern", options.rank_pattern},
      {"alpha_pattern", options.alpha_pattern},
      {"use_rslora", options.use_rslora},
      {"use_dora", false},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"init_lora_weights", true},
      {"inference_mode", true},
      {"modules_to_save", nullptr},
      {"layers_to_transform", nullptr},
      {"layers_pattern", nullptr},
      {"revision", nullptr},
  };
}

LoraOptions read_adapter_config(const Path& adapter_folder) {
  const Path file = adapter_folder / kConfigFile;
  require(std::filesystem::exists(file), "{} is not a PEFT adapter folder: it has no {}",
          adapter_folder.string(), kConfigFile);
  const std::string where = file.string();
  const Json config = read_json_file(file);
  for (const auto& [key, wanted] : required_switches()) {
    if (!config.contains(key) || config[key] == wanted || config[key].is_null()) continue;
    fail("{}: \"{}\" is {}, which is not supported (only {})", where, key, config[key].dump().substr(0, 80),
         wanted.dump());
  }
  LoraOptions options;
  options.rank = json_get<std::int64_t>(config, "r", where);
  require(options.rank >= 1 && options.rank <= 65536, "{}: \"r\" is {}, which is not a possible rank", where,
          options.rank);
  options.alpha = json_get_or<double>(config, "lora_alpha", static_cast<double>(options.rank), where);
  options.dropout = json_get_or<double>(config, "lora_dropout", 0.0, where);
  options.targets = read_targets(config, where);
  options.use_rslora = json_get_or<bool>(config, "use_rslora", false, where);
  options.rank_pattern = json_get_or<std::map<std::string, std::int64_t>>(config, "rank_pattern", {}, where);
  options.alpha_pattern = json_get_or<std::map<std::string, double>>(config, "alpha_pattern", {}, where);
  return options;
}

std::vector<AdapterFile> adapter_files(Decoder& decoder, const LoraOptions& options,
                                       const std::vector<torch::Tensor>& values,
                                       const AdapterOrigin& origin) {
  std::vector<std::string> modules;
  for (const Linear* linear : decoder.linears())
    if (linear->lora) modules.push_back(linear->name);
  std::string config = adapter_config(options, modules, origin.base_model).dump(2) + "\n";
  std::string origin_text =
      OrderedJson{
          {"base_model", origin.base_model},
          {"base_fingerprint", origin.base_fingerprint},
          {"tokenizer_fingerprint", origin.tokenizer_fingerprint},
          {"template", origin.template_name},
          {"template_fingerprint", origin.template_fingerprint},
          {"step", origin.step},
      }
          .dump(2) +
      "\n";
  std::vector<torch::Tensor> copies;
  std::uint64_t bytes = 0;
  for (const torch::Tensor& value : values) {
    copies.push_back(value.detach().to(torch::kCPU, torch::kFloat32, /*non_blocking=*/false, /*copy=*/true));
    bytes += copies.back().nbytes();
  }
  const auto text_file = [](const char* name, std::string text) {
    const std::uint64_t size = text.size();
    return AdapterFile{name, size, [text = std::move(text)](const Path& path) { write_file(path, text); }};
  };
  return {text_file(kConfigFile, std::move(config)),
          {kWeightsFile, bytes,
           [parameters = lora_parameters(decoder), copies](const Path& path) {
             write_parameters(path, parameters, copies);
           }},
          text_file(kOriginFile, std::move(origin_text))};
}

void write_adapter(const Path& folder, const std::vector<AdapterFile>& files) {
  const Path absolute = std::filesystem::absolute(folder).lexically_normal();
  const Path temporary = absolute.parent_path() / fmt::format(".{}.tmp", absolute.filename().string());
  std::filesystem::remove_all(temporary);
  try {
    make_folders(temporary);
    for (const AdapterFile& file : files) file.write(temporary / file.name);
    sync_folder(temporary);
    replace_folder(temporary, absolute);
  } catch (...) {
    std::error_code ignored;  // the failure that led here is the one to report
    std::filesystem::remove_all(temporary, ignored);
    throw;
  }
}

void write_parameters(const Path& file, const ParameterList& parameters,
                      const std::vector<torch::Tensor>& values) {
  require(parameters.size() == values.size(), "{}: {} tensors were given for {} parameters", file.string(),
          values.size(), parameters.size());
  std::vector<TensorInfo> tensors;
  for (std::size_t i = 0; i < values.size(); ++i)
    tensors.push_back({.name = parameters[i]->name,
                       .dtype = stored_dtype_of(values[i].scalar_type()),
                       .shape = values[i].sizes().vec(),
                       .data = bytes_of(values[i])});
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  write_safetensors(file, tensors);
}

std::vector<torch::Tensor> read_parameters(const Path& path, const ParameterList& parameters) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::set<std::string> known;
  std::vector<torch::Tensor> values;
  for (const ParameterPtr& parameter : parameters) {
    const TensorInfo& stored = file.get(parameter->name);
    const std::vector<std::int64_t> shape = parameter->value.sizes().vec();
    require(shape == stored.shape, "{}: tensor {} has shape {}, but {} is needed here", path.string(),
            parameter->name, shape_text(stored.shape), shape_text(shape));
    values.push_back(tensor_over(stored, nullptr).to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true));
    require(torch::isfinite(values.back()).all().item<bool>(), "{}: tensor {} holds NaN or infinity",
            path.string(), parameter->name);
    known.insert(parameter->name);
  }
  for (const TensorInfo& info : file.tensors())
    require(known.contains(info.name), "{}: tensor {} has no place in this model", path.string(), info.name);
  return values;
}

LoraOptions load_adapter(Decoder& decoder, const Path& adapter_folder) {
  LoraOptions options = read_adapter_config(adapter_folder);
  add_lora(decoder, options, 0);
  const ParameterList parameters = lora_parameters(decoder);
  const std::vector<torch::Tensor> values = read_parameters(adapter_folder / kWeightsFile, parameters);
  for (std::size_t i = 0; i < values.size(); ++i) parameters[i]->value = values[i].to(decoder.device());
  return options;
}

AdapterOrigin read_adapter_origin(const Path& adapter_folder) {
  const Path file = adapter_folder / kOriginFile;
  if (!std::filesystem::exists(file)) return {};
  const Json origin = read_json_file(file);
  const std::string where = file.string();
  return {.base_model = json_get_or<std::string>(origin, "base_model", "", where),
          .base_fingerprint = json_get_or<std::string>(origin, "base_fingerprint", "", where),
          .tokenizer_fingerprint = json_get_or<std::string>(origin, "tokenizer_fingerprint", "", where),
          .template_name = json_get_or<std::string>(origin, "template", "", where),
          .template_fingerprint = json_get_or<std::string>(origin, "template_fingerprint", "", where),
          .step = json_get_or<std::int64_t>(origin, "step", 0, where)};
}

void merge_lora(Decoder& decoder) {
  const torch::NoGradGuard no_grad;
  for (Linear* linear : decoder.linears()) {
    if (!linear->lora) continue;
    const torch::Tensor update = torch::matmul(linear->lora->b->value.to(torch::kFloat32),
                                               linear->lora->a->value.to(torch::kFloat32)) *
                                 linear->lora->scale;
    const torch::ScalarType dtype = linear->weight->value.scalar_type();
    linear->weight->value = (linear->weight->value.to(torch::kFloat32) + update).to(dtype);
    linear->lora.reset();
  }
}

}  // namespace ranktune
