#include "model/load_model.h"

#include <algorithm>

#include "base/error.h"
#include "model/hf_config.h"
#include "model/weight_source.h"

namespace ranktune {

torch::ScalarType compute_dtype(const std::string& name) {
  if (name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  if (name == "fp16") return torch::kFloat16;
  fail("compute type \"{}\" is not supported; use \"bf16\", \"fp16\" or \"fp32\"", name);
}

std::string fp16_risk(const Decoder& decoder) {
  if (decoder.dtype() != torch::kFloat16 || decoder.architecture().stored_dtype != "bfloat16") return {};
  return "the weights were trained in bf16, but fp16 is computed in, whose largest number is 65504: what "
         "they "
         "are multiplied to can overflow, and then answers are wrong and training steps are skipped; bf16 "
         "costs as much and is safe";
}

std::unique_ptr<Decoder> load_model(const LoadModelOptions& options) {
  const ModelFiles files = options.files ? *options.files : open_model_files(options.folder);
  Architecture arch = parse_architecture(files.config, files.config_path());
  const auto is_bf16 = [](const TensorInfo* info) { return info->dtype == DType::kBF16; };
  if (arch.stored_dtype.empty() && std::ranges::any_of(files.weights->tensors(), is_bf16))
    arch.stored_dtype = "bfloat16";
  WeightSource weights(files.weights, {.dtype = options.dtype,
                                       .device = options.device,
                                       .check = options.check,
                                       .progress = options.progress});
  return std::make_unique<Decoder>(arch, weights);
}

}  // namespace ranktune
