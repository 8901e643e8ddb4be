#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/parameter.h"
#include "storage/weight_files.h"

namespace ranktune {

/// Which part of every weight is searched for NaN and infinity: the ranks of a node, which hold the same
/// bytes, divide them among each other.
struct WeightCheck {
  std::int64_t part = 0;
  std::int64_t parts = 1;
};

/// Hands out a folder's weights as tensors in the compute dtype on the device. On the CPU a tensor that is
/// stored in the compute dtype is a view of the file's bytes (shared by the ranks of a node); others are
/// converted copies.
class WeightSource {
 public:
  struct Target {
    torch::ScalarType dtype = torch::kFloat32;
    torch::Device device = torch::kCPU;
    WeightCheck check{};
    std::function<void()> progress{};  ///< called after each weight; may be empty
  };
  /// Every tensor that is a view keeps `files` alive.
  WeightSource(std::shared_ptr<const WeightFiles> files, Target target)
      : files_(std::move(files)), target_(std::move(target)) {}

  /// The weight of that name; throws when it is absent, its shape differs, the searched part of it holds NaN
  /// or infinity, or it has values that fp16 cannot hold where that is the compute dtype.
  ParameterPtr take(const std::string& name, const std::vector<std::int64_t>& shape);
  /// Throws when the files hold tensors that nobody took and that are not among `ignorable`: they belong to
  /// another model than config.json describes. Rotary tables, which old exporters stored, are never needed.
  void require_all_taken(const std::set<std::string>& ignorable) const;

 private:
  void check_range(const Parameter& parameter) const;
  void check_values(const TensorInfo& info) const;

  std::shared_ptr<const WeightFiles> files_;
  Target target_;
  std::set<std::string> taken_;
};

}  // namespace ranktune
