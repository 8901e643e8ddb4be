#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/step_batch.h"
#include "model/decoder.h"
#include "storage/safetensors.h"

namespace ranktune {

/// One reference model under tests/data/golden, computed in fp32.
class GoldenCase {
 public:
  explicit GoldenCase(const std::string& name);

  /// The model, with the adapter of that variant on it unless "".
  std::unique_ptr<Decoder> decoder(const std::string& variant) const;
  torch::Tensor tensor(const std::string& name) const;
  double number(const std::string& name, std::int64_t index = 0) const;
  const Json& meta() const { return meta_; }
  Path folder() const { return folder_; }

 private:
  Path folder_;
  Json meta_;
  std::vector<SafetensorsFile> numbers_;
};

/// Rows of padded ids [B,T] with mask and labels (-100: none) as one slot, padding left out.
Slot slot_of(const torch::Tensor& ids, const torch::Tensor& mask, const torch::Tensor& labels);

/// Largest absolute difference as a share of the reference's largest entry.
double relative_error(const torch::Tensor& found, const torch::Tensor& reference);

}  // namespace ranktune
