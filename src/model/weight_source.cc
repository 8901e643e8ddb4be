#include "model/weight_source.h"

#include <cmath>

#include "base/error.h"
#include "tensor/dtype.h"
#include "tensor/from_storage.h"

namespace ranktune {

ParameterPtr WeightSource::take(const std::string& name, const std::vector<std::int64_t>& shape) {
  const TensorInfo& info = files_->get(name);
  require(info.shape == shape, "{}: weight {} has shape {}, but config.json describes {}",
          files_->list().folder.string(), name, shape_text(info.shape), shape_text(shape));
  const torch::ScalarType stored = scalar_type_of(info.dtype);
  require(stored == torch::kFloat32 || stored == torch::kBFloat16 || stored == torch::kFloat16,
          "{}: weight {} is stored as {}; only F32, F16 and BF16 weights are supported",
          files_->list().folder.string(), name, dtype_name(info.dtype));
  const torch::Tensor value = tensor_over(info, files_);
  // A sum is infinite or NaN when any element is; halves are widened for it chunk by chunk inside LibTorch.
  require(std::isfinite(value.sum(torch::kFloat32).item<float>()), "{}: weight {} holds NaN or infinity",
          files_->list().folder.string(), name);
  taken_.insert(name);
  return std::make_shared<Parameter>(name, value.to(device_, dtype_));
}

void WeightSource::require_all_taken(const std::set<std::string>& ignorable) const {
  for (const TensorInfo* info : files_->tensors()) {
    if (taken_.contains(info->name) || ignorable.contains(info->name) ||
        info->name.ends_with("rotary_emb.inv_freq"))
      continue;
    fail("{}: weight {} has no place in the model that config.json describes", files_->list().folder.string(),
         info->name);
  }
}

}  // namespace ranktune
