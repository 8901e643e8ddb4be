#include "model/load_model.h"

#include "base/error.h"
#include "base/hash.h"
#include "model/hf_config.h"
#include "model/weight_source.h"

namespace ranktune {

torch::ScalarType compute_dtype(const std::string& name) {
  if (name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  fail("compute type \"{}\" is not supported; use \"bf16\" or \"fp32\"", name);
}

std::unique_ptr<Decoder> load_model(const LoadModelOptions& options) {
  const Architecture arch = read_architecture(options.folder);
  const auto files = std::make_shared<const WeightFiles>(list_weights(options.folder), options.source);
  WeightSource weights(files, options.dtype, options.device);
  return std::make_unique<Decoder>(arch, weights);
}

std::string weights_fingerprint(const Path& folder) {
  Hasher hasher;
  for (const std::string& name : list_weights(folder).files)
    hasher.add(name).add(MappedFile(folder / name).bytes());
  return hasher.hex();
}

}  // namespace ranktune
