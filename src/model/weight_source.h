#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/parameter.h"
#include "storage/weight_files.h"

namespace ranktune {

/// Hands out a folder's weights as tensors in the compute dtype on the device. On the CPU a tensor that is
/// stored in the compute dtype is a view of the mapped file (shared by the ranks of a node); others are
/// converted copies.
class WeightSource {
 public:
  /// Every tensor that is a view keeps `files` alive.
  WeightSource(std::shared_ptr<const WeightFiles> files, torch::ScalarType dtype, torch::Device device)
      : files_(std::move(files)), dtype_(dtype), device_(device) {}

  /// The weight of that name; throws when it is absent, its shape differs, or it holds NaN or infinity.
  ParameterPtr take(const std::string& name, const std::vector<std::int64_t>& shape);
  /// Throws when the files hold tensors that nobody took and that are not among `ignorable`: they belong to
  /// another model than config.json describes. Rotary tables, which old exporters stored, are never needed.
  void require_all_taken(const std::set<std::string>& ignorable) const;

 private:
  std::shared_ptr<const WeightFiles> files_;
  torch::ScalarType dtype_;
  torch::Device device_;
  std::set<std::string> taken_;
};

}  // namespace ranktune
