#include "model/weight_source.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "storage/all_finite.h"
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
  check_values(info);
  taken_.insert(name);
  auto parameter =
      std::make_shared<Parameter>(name, tensor_over(info, files_).to(target_.device, target_.dtype));
  if (target_.dtype == torch::kFloat16 && stored != torch::kFloat16) check_range(*parameter);
  if (target_.progress) target_.progress();
  return parameter;
}

void WeightSource::check_range(const Parameter& parameter) const {
  const auto [smallest, largest] = torch::aminmax(parameter.value);
  require(!std::isinf(smallest.item<float>()) && !std::isinf(largest.item<float>()),
          "{}: weight {} holds values beyond 65504, the largest that fp16 has; use bf16 or fp32",
          files_->list().folder.string(), parameter.name);
}

void WeightSource::check_values(const TensorInfo& info) const {
  const auto parts = static_cast<std::uint64_t>(target_.check.parts);
  const std::uint64_t elements = static_cast<std::uint64_t>(info.elements()),
                      share = (elements + parts - 1) / parts, width = dtype_size(info.dtype),
                      first = std::min(elements, share * static_cast<std::uint64_t>(target_.check.part)),
                      count = std::min(share, elements - first);
  const auto bad = first_not_finite(info.data.subspan(first * width, count * width), info.dtype);
  require(!bad.has_value(), "{}: weight {} holds NaN or infinity (element {} of {}); the file is damaged",
          files_->list().folder.string(), info.name, first + bad.value_or(0), elements);
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
