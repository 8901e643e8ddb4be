#include "train/trainable.h"

#include "model/lora.h"

namespace ranktune {

TrainableSet::TrainableSet(Decoder& decoder, double lora_plus_ratio)
    : parameters_(lora_parameters(decoder)),
      dtype_(decoder.dtype()),
      lora_plus_ratio_(lora_plus_ratio),
      is_adapter_(!parameters_.empty()) {
  if (!is_adapter_) parameters_ = decoder.parameters();
}

FlatLayout TrainableSet::layout() const {
  std::vector<ParameterSpec> specs;
  for (const ParameterPtr& parameter : parameters_) {
    const bool matrix = parameter->value.dim() > 1,
               is_lora = parameter->name.find(".lora_") != std::string::npos;
    const bool faster = is_adapter_ && (!matrix || parameter->name.ends_with(".lora_B.weight"));
    specs.push_back({.name = parameter->name,
                     .shape = parameter->value.sizes().vec(),
                     .decay = is_lora || matrix,
                     .lr_scale = faster ? lora_plus_ratio_ : 1.0});
  }
  return FlatLayout(std::move(specs));
}

torch::ScalarType TrainableSet::working_dtype() const { return is_adapter_ ? torch::kFloat32 : dtype_; }

std::vector<torch::Tensor> TrainableSet::values() const {
  std::vector<torch::Tensor> values;
  for (const ParameterPtr& parameter : parameters_) values.push_back(parameter->value.detach());
  return values;
}

void TrainableSet::bind(const Zero2Optimizer& optimizer) {
  leaves_.clear();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const torch::Tensor value = optimizer.parameter(static_cast<int>(i));
    leaves_.push_back((stays_fp32(*parameters_[i]) ? value : value.to(dtype_)).detach().requires_grad_());
    parameters_[i]->value = leaves_.back();
  }
}

}  // namespace ranktune
