#include "model/load_model.h"

#include "base/error.h"
#include "model/hf_config.h"
#include "model/weight_source.h"

namespace ranktune {

torch::ScalarType compute_dtype(const std::string& name) {
  if (name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  fail("compute type \"{}\" is not supported; use \"bf16\" or \"fp32\"", name);
}

std::unique_ptr<Decoder> load_model(const LoadModelOptions& options) {
  const ModelFiles files = options.files ? *options.files : open_model_files(options.folder);
  const Architecture arch = parse_architecture(files.config, files.config_path());
  WeightSource weights(files.weights, {.dtype = options.dtype,
                                       .device = options.device,
                                       .check = options.check,
                                       .progress = options.progress});
  return std::make_unique<Decoder>(arch, weights);
}

}  // namespace ranktune
