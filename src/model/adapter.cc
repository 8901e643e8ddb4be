#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "model/lora.h"
#include "model/lora_init.h"
#include "model/trained_modules.h"
#include "storage/safetensors_writer.h"
#include "tensor/dtype.h"
#include "tensor/from_storage.h"

namespace ranktune {
namespace {

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr const char* kOriginFile = "ranktune.json";

/// The parameters as a file has them: what PEFT stores again under another name stands at the end.
ParameterList stored_parameters(Decoder& decoder) {
  ParameterList list = lora_parameters(decoder);
  for (const auto& twice : stored_again(decoder)) {
    const auto own = std::find_if(list.begin(), list.end(),
                                  [&](const auto& parameter) { return parameter->name == twice.second; });
    list.push_back(std::make_shared<Parameter>(twice.first, (*own)->value));
  }
  return list;
}

/// `values` [i]: of parameters[i], for those that `name` names.
torch::Tensor value_of(const ParameterList& parameters, const std::vector<torch::Tensor>& values,
                       const std::string& name) {
  const auto found =
      std::find_if(parameters.begin(), parameters.end(), [&](const auto& p) { return p->name == name; });
  return values.at(static_cast<std::size_t>(found - parameters.begin()));
}

/// Takes the values of what is stored again off the end; they must be equal to what they repeat.
void drop_repeated(Decoder& decoder, const ParameterList& parameters, std::vector<torch::Tensor>& values,
                   const Path& file) {
  const auto repeated = stored_again(decoder);
  for (const auto& [again, name] : repeated)
    require(torch::equal(value_of(parameters, values, again), value_of(parameters, values, name)),
            "{}: tensors {} and {} differ, but adapter_config.json says that they are tied", file.string(),
            again, name);
  values.resize(values.size() - repeated.size());
}

/// The options of the ordinary adapter of twice the rank, with the same scale.
LoraOptions converted(LoraOptions options) {
  const double factor = options.use_rslora ? std::sqrt(2.0) : 2.0;
  options.rank *= 2;
  options.alpha *= factor;
  for (auto& [module, rank] : options.rank_pattern) rank *= 2;
  for (auto& [module, alpha] : options.alpha_pattern) alpha *= factor;
  options.init = "default";
  return options;
}

/// A and B of each adapter become [A;A_0] and [B|-B_0]. `values`: in the order of lora_parameters.
void append_start(Decoder& decoder, std::vector<torch::Tensor>& values) {
  std::size_t i = 0;
  for (const Linear* linear : decoder.linears()) {
    if (!linear->lora) continue;
    values[i] = torch::cat({values[i], linear->lora->start_a.cpu()}, 0);
    values[i + 1] = torch::cat({values[i + 1], -linear->lora->start_b.cpu()}, 1);
    i += 2;
  }
}

bool is_low_rank(const std::string& name) {
  return name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight");
}

/// The parameters as they stand in a converted adapter's file: their names, with the ranks doubled.
ParameterList converted_parameters(const ParameterList& parameters) {
  ParameterList list;
  for (const ParameterPtr& parameter : parameters) {
    std::vector<std::int64_t> shape = parameter->value.sizes().vec();
    if (is_low_rank(parameter->name)) shape[parameter->name.ends_with(".lora_A.weight") ? 0 : 1] *= 2;
    list.push_back(std::make_shared<Parameter>(parameter->name, torch::empty(shape, torch::kMeta)));
  }
  return list;
}

}  // namespace

std::vector<AdapterFile> adapter_files(Decoder& decoder, const LoraOptions& options,
                                       const std::vector<torch::Tensor>& values,
                                       const AdapterOrigin& origin) {
  const bool pissa = pissa_method(options.init).has_value();
  std::string config = adapter_config(pissa ? converted(options) : options, origin.base_model).dump(2) + "\n";
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
  for (const torch::Tensor& value : values)
    copies.push_back(value.detach().to(torch::kCPU, torch::kFloat32, /*non_blocking=*/false, /*copy=*/true));
  if (pissa) append_start(decoder, copies);
  for (const auto& [again, name] : stored_again(decoder))
    copies.push_back(value_of(lora_parameters(decoder), copies, name));
  std::uint64_t bytes = 0;
  for (const torch::Tensor& copy : copies) bytes += copy.nbytes();
  const auto text_file = [](const char* name, std::string text) {
    const std::uint64_t size = text.size();
    return AdapterFile{name, size, [text = std::move(text)](const Path& path) { write_file(path, text); }};
  };
  return {text_file(kConfigFile, std::move(config)),
          {kWeightsFile, bytes,
           [parameters = stored_parameters(decoder), copies](const Path& path) {
             write_parameters(path, parameters, copies);
           }},
          text_file(kOriginFile, std::move(origin_text))};
}

std::vector<torch::Tensor> read_adapter_values(Decoder& decoder, const LoraOptions& options,
                                               const Path& file) {
  const ParameterList parameters = stored_parameters(decoder);
  const bool pissa = pissa_method(options.init).has_value();
  std::vector<torch::Tensor> stored =
      read_parameters(file, pissa ? converted_parameters(parameters) : parameters);
  drop_repeated(decoder, parameters, stored, file);
  if (!pissa) return stored;
  std::vector<torch::Tensor> values;
  std::size_t i = 0;
  for (; i < stored.size() && is_low_rank(parameters[i]->name); i += 2) {
    const std::vector<torch::Tensor> a = stored[i].chunk(2, 0), b = stored[i + 1].chunk(2, 1);
    values.insert(values.end(), {a[0].contiguous(), b[0].contiguous()});
    parameters[i]->value = a[1].contiguous().to(decoder.device());
    parameters[i + 1]->value = (-b[1]).contiguous().to(decoder.device());
  }
  values.insert(values.end(), stored.begin() + static_cast<std::ptrdiff_t>(i), stored.end());
  take_out_of_base(decoder);
  return values;
}

void write_adapter(const NewFolderOptions& place, const std::vector<AdapterFile>& files) {
  NewFolder folder(place);
  for (const AdapterFile& file : files) file.write(folder.filling() / file.name);
  folder.commit();
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
    require(shape == stored.shape,
            "{}: tensor {} has shape {}, but {} is needed here; was it made for another model?",
            path.string(), parameter->name, shape_text(stored.shape), shape_text(shape));
    values.push_back(tensor_over(stored, nullptr).to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/true));
    require(torch::isfinite(values.back()).all().item<bool>(), "{}: tensor {} holds NaN or infinity",
            path.string(), parameter->name);
    known.insert(parameter->name);
  }
  for (const TensorInfo& info : file.tensors())
    require(known.contains(info.name), "{}: tensor {} has no place in this model; was it made for another?",
            path.string(), info.name);
  return values;
}

LoraOptions load_adapter(Decoder& decoder, const Path& adapter_folder) {
  LoraOptions options = resolve_targets(decoder, read_adapter_config(adapter_folder));
  try {
    add_lora(decoder, options, 0);
  } catch (const Error& error) {
    throw Error(fmt::format("adapter {}: {}", adapter_folder.string(), error.what()), error.kind());
  }
  const ParameterList parameters = lora_parameters(decoder);
  const std::vector<torch::Tensor> values =
      read_adapter_values(decoder, options, adapter_folder / kWeightsFile);
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

void require_same_base(const Path& adapter_folder, const std::string& model,
                       const std::function<std::string()>& fingerprint) {
  const AdapterOrigin origin = read_adapter_origin(adapter_folder);
  require(origin.base_fingerprint.empty() || origin.base_fingerprint == fingerprint(),
          "adapter {} was trained on other weights ({}) than those of {}", adapter_folder.string(),
          origin.base_model, model);
}

}  // namespace ranktune
