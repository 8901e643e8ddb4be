#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ranktune {

/// One weight of the model under its outside name. Frozen ones may be views of mapped files; a trained one is
/// a leaf that the trainer replaces before each step with the newest values in the compute dtype.
struct Parameter {
  std::string name;
  torch::Tensor value;
  /// What an adapter has in its place (PEFT's modules_to_save); null without one.
  std::shared_ptr<Parameter> replacement;

  Parameter(std::string parameter_name, torch::Tensor initial)
      : name(std::move(parameter_name)), value(std::move(initial)) {}
  /// What is computed with.
  const torch::Tensor& seen(bool use_adapter) const {
    return replacement && use_adapter ? replacement->value : value;
  }
};
using ParameterPtr = std::shared_ptr<Parameter>;
using ParameterList = std::vector<ParameterPtr>;

}  // namespace ranktune
