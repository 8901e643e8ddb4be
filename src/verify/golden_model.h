#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/step_batch.h"
#include "model/decoder.h"
#include "storage/safetensors.h"

namespace ranktune {

/// How near a compute type's results must be to numbers recorded in fp32, as shares of a tensor's largest
/// entry; of the loss: relative.
struct Limits {
  double logits = 0, loss = 0, gradient = 0;
};
Limits limits_of(torch::ScalarType compute_dtype);

/// A model folder with recorded numbers: model/, golden.safetensors, meta.json (settings), adapters/VARIANT
/// with adapters/VARIANT_trained, merged/VARIANT, full_trained/. Everything but the model and the numbers is
/// optional, and settings that meta.json does not give have the values of the format's description.
class GoldenModel {
 public:
  /// `compute_dtype`: what decoder() computes in.
  explicit GoldenModel(const Path& folder, torch::ScalarType compute_dtype = torch::kFloat32);

  const std::string& name() const { return name_; }
  /// Every variant that is mentioned anywhere: in meta.json, by a tensor, or by a folder under adapters/.
  const std::vector<std::string>& variants() const { return variants_; }
  /// Are there numbers of training all weights?
  bool trains_all() const { return trains_all_; }

  bool has(const std::string& tensor) const { return numbers_.find(tensor) != nullptr; }
  /// A recorded tensor, as stored. It then counts as compared.
  torch::Tensor tensor(const std::string& name);
  double number(const std::string& name, std::int64_t index = 0);
  /// How many prompts were continued: gen.0, gen.1 ...
  std::int64_t generations() const;
  /// Recorded tensors that nobody has asked for.
  std::vector<std::string> uncompared() const;
  /// Counts all tensors whose names begin so as dealt with.
  void set_aside(const std::string& prefix);

  /// Settings of the training, and a variant's own ("full": of training all weights); {} where not given.
  Json train_settings() const;
  Json variant_settings(const std::string& variant) const;

  Path model_folder() const;
  Path adapter_folder(const std::string& variant) const;
  Path trained_folder(const std::string& variant) const;  ///< of "full": whole weights; may not exist
  Path merged_folder(const std::string& variant) const;   ///< may not exist

  torch::ScalarType dtype() const { return dtype_; }
  /// Recorded to be met to the last token: not where numbers of fp32 are compared with those of fewer bits.
  bool is_fp32() const { return dtype_ == torch::kFloat32; }
  /// The model in the compute type, with the adapter of that variant on it unless "" or "full".
  std::unique_ptr<Decoder> decoder(const std::string& variant, torch::Device device) const;

 private:
  void find_variants();

  torch::ScalarType dtype_;
  Path folder_;
  std::string name_;
  Json meta_;
  SafetensorsFile numbers_;
  std::vector<std::string> variants_;
  bool trains_all_ = false;
  std::set<std::string> compared_;
};

/// Rows of padded ids [B,T] with mask and labels (-100: none) as one slot, padding left out.
Slot slot_of(const torch::Tensor& ids, const torch::Tensor& mask, const torch::Tensor& labels);

/// Logits [N,V] (fp32, CPU) of all tokens of a slot.
torch::Tensor slot_logits(Decoder& decoder, const Slot& slot);

/// Largest absolute difference as a share of the reference's largest entry, computed in fp64. A reference of
/// zeros only must be met exactly: infinite otherwise. Shapes that differ are an Error.
double relative_error(const torch::Tensor& found, const torch::Tensor& reference);
/// Largest absolute difference.
double absolute_error(const torch::Tensor& found, const torch::Tensor& reference);

}  // namespace ranktune
