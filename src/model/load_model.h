#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "model/decoder.h"
#include "model/model_files.h"

namespace ranktune {

/// "fp32", "bf16" or "fp16" as a LibTorch type; throws for others.
torch::ScalarType compute_dtype(const std::string& name);

/// What to warn of where a model that was trained in bf16 is computed in fp16; "" elsewhere.
std::string fp16_risk(const Decoder& decoder);

struct LoadModelOptions {
  Path folder;
  torch::ScalarType dtype = torch::kBFloat16;
  torch::Device device = torch::kCPU;
  std::optional<ModelFiles> files{};  ///< where they are at hand already; else those of `folder` are mapped
  WeightCheck check{};
  std::function<void()> progress{};  ///< called after each weight; may be empty
};

/// A Hugging Face model folder (config.json, safetensors) as a Decoder with frozen weights.
std::unique_ptr<Decoder> load_model(const LoadModelOptions& options);

}  // namespace ranktune
