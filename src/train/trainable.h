#pragma once

#include <torch/types.h>

#include <vector>

#include "model/decoder.h"
#include "zero/flat_layout.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {

/// The parameters that a run trains, as leaves in the decoder's compute dtype.
class TrainableSet {
 public:
  /// The adapter's parameters where the decoder has one, else all weights. `lora_plus_ratio`: learning rate
  /// of B and of vectors as a multiple of A's (LoRA+, Hayou et al. 2024).
  explicit TrainableSet(Decoder& decoder, double lora_plus_ratio = 1.0);

  /// Their flat order for the optimizer. Norms and biases are not decayed, as is usual; magnitudes are.
  FlatLayout layout() const;
  const ParameterList& parameters() const { return parameters_; }
  bool is_adapter() const { return is_adapter_; }
  /// fp32 for an adapter; a full fine-tuning works on weights of the compute dtype beside its partitioned
  /// fp32 master.
  torch::ScalarType working_dtype() const;
  /// The values they have now, for Zero2Optimizer::set_parameters.
  std::vector<torch::Tensor> values() const;

  /// Makes the optimizer's newest values the decoder's weights: fresh leaves that require a gradient.
  void bind(const Zero2Optimizer& optimizer);
  const std::vector<torch::Tensor>& leaves() const { return leaves_; }

 private:
  ParameterList parameters_;
  std::vector<torch::Tensor> leaves_;
  torch::ScalarType dtype_;
  double lora_plus_ratio_;
  bool is_adapter_;
};

}  // namespace ranktune
