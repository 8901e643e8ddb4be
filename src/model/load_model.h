#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "model/decoder.h"
#include "storage/weight_files.h"

namespace ranktune {

/// "fp32" or "bf16" as a LibTorch type; throws for others.
torch::ScalarType compute_dtype(const std::string& name);

struct LoadModelOptions {
  Path folder;
  torch::ScalarType dtype = torch::kBFloat16;
  torch::Device device = torch::kCPU;
  ByteSource source = map_file;  ///< where this rank gets the weight files' bytes from
};

/// A Hugging Face model folder (config.json, safetensors) as a Decoder with frozen weights.
std::unique_ptr<Decoder> load_model(const LoadModelOptions& options);

/// Hash of all weight files' bytes: what an adapter's base is recognised by.
std::string weights_fingerprint(const Path& folder);

}  // namespace ranktune
