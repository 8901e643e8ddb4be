#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/parameter.h"

namespace ranktune {

/// The low-rank update of one linear: scale * B A x (Hu et al. 2021). With a magnitude, DoRA (Liu et al.
/// 2024): the rows of W + scale * B A are given the lengths that the magnitude holds.
struct LoraUpdate {
  ParameterPtr a;          ///< [r, in]
  ParameterPtr b;          ///< [out, r]
  ParameterPtr magnitude;  ///< [out], null without DoRA
  double scale = 1.0;
  double dropout = 0.0;
  std::uint64_t site = 0;  ///< which linear this is, for its dropout masks
  /// The A and B whose update was taken out of the linear's weight (PiSSA); undefined where none was.
  torch::Tensor start_a, start_b;
  /// DoRA's row lengths [out] of these very tensors, reused while a pass is given the same ones: they cost as
  /// much as a short slot. Values changed in place are not seen; TrainableSet::bind() makes new tensors.
  struct RowLengths {
    torch::Tensor weight, a, b, values;
  } row_lengths;
};

/// What decides the random choices of one forward pass. Two passes with the same words draw the same masks,
/// on any rank.
struct ForwardMode {
  bool training = false;
  bool use_adapter = true;
  bool recompute = false;  ///< keep only each layer's input and compute the rest again in the backward pass
  std::uint64_t dropout_seed = 0;                      ///< of (seed, step, slot)
  std::vector<torch::Tensor>* layer_inputs = nullptr;  ///< where given, gets what enters each layer [T,C]
};

/// y = x W^T + b, plus the adapter's update where there is one; never an update and a replaced weight. x [T,
/// in] -> [T, out].
struct Linear {
  std::string name;  ///< the module's outside name, without ".weight"
  ParameterPtr weight;
  ParameterPtr bias;  ///< null without one
  std::unique_ptr<LoraUpdate> lora;

  torch::Tensor forward(const torch::Tensor& x, const ForwardMode& mode) const;
  std::int64_t in_features() const { return weight->value.size(1); }
  std::int64_t out_features() const { return weight->value.size(0); }
};

/// Rows [first, first + count) of the weight with its update, in fp32 without a gradient, [count, in]: W +
/// scale * B A, each row given the length that DoRA's magnitude holds where there is one.
torch::Tensor merged_rows(const Linear& linear, std::int64_t first, std::int64_t count);
/// Lengths of the rows of W + scale * B A in fp32 without a gradient, [out]: where DoRA's magnitude starts
/// from.
torch::Tensor row_lengths(const Linear& linear);

}  // namespace ranktune
