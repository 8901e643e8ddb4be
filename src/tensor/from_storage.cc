#include "tensor/from_storage.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "tensor/dtype.h"

namespace ranktune {

torch::Tensor tensor_over(const TensorInfo& stored, std::shared_ptr<const void> keeper) {
  const auto options = torch::TensorOptions().dtype(scalar_type_of(stored.dtype));
  const std::size_t bytes =
      static_cast<std::size_t>(c10::multiply_integers(stored.shape)) * dtype_size(stored.dtype);
  require(stored.data.size() == bytes, "tensor {}: {} bytes are there, its shape {} needs {}", stored.name,
          stored.data.size(), shape_text(stored.shape), bytes);
  const bool aligned = reinterpret_cast<std::uintptr_t>(stored.data.data()) % dtype_size(stored.dtype) == 0;
  if (bytes == 0 || !aligned) {
    torch::Tensor copy = torch::empty(stored.shape, options);
    if (bytes != 0) std::memcpy(copy.data_ptr(), stored.data.data(), bytes);
    return copy;
  }
  // from_blob takes no pointer to const; the header forbids writing.
  void* data = const_cast<std::byte*>(stored.data.data());
  return torch::from_blob(
      data, stored.shape, [kept = std::move(keeper)](void*) mutable { kept.reset(); }, options);
}

std::span<const std::byte> bytes_of(const torch::Tensor& tensor) {
  require(tensor.is_contiguous() && tensor.device().is_cpu(),
          "the bytes of a tensor are to be had on the CPU and in order only");
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace ranktune
