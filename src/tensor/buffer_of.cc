#include "tensor/buffer_of.h"

#include "base/error.h"

namespace ranktune {
namespace {

ElementType element_type(const torch::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case torch::kUInt8:
      return ElementType::kByte;
    case torch::kInt32:
      return ElementType::kInt32;
    case torch::kInt64:
      return ElementType::kInt64;
    case torch::kFloat32:
      return ElementType::kFloat32;
    case torch::kFloat64:
      return ElementType::kFloat64;
    case torch::kBFloat16:
      return ElementType::kBFloat16;
    default:
      fail("tensors of type {} cannot be communicated", c10::toString(tensor.scalar_type()));
  }
}

}  // namespace

Buffer buffer_of(const torch::Tensor& tensor) {
  require(tensor.defined() && tensor.is_contiguous(), "only contiguous tensors can be communicated");
  require(tensor.is_cpu() || tensor.is_cuda(), "tensors on {} cannot be communicated", tensor.device().str());
  return {.data = tensor.data_ptr(),
          .count = tensor.numel(),
          .type = element_type(tensor),
          .device = tensor.is_cuda() ? DeviceKind::kCuda : DeviceKind::kCpu};
}

}  // namespace ranktune
