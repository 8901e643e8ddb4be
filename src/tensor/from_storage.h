#pragma once

#include <torch/types.h>

#include <cstddef>
#include <memory>
#include <span>

#include "storage/safetensors.h"

namespace ranktune {

/// A CPU tensor over a file's mapped bytes, without copying them; `keeper` (what owns the mapping) lives as
/// long as the tensor or a view of it. The memory is read-only: writing into the tensor crashes, so it never
/// requires a gradient. Bytes that are not aligned for their type are copied. Throws for an element type that
/// LibTorch lacks.
torch::Tensor tensor_over(const TensorInfo& stored, std::shared_ptr<const void> keeper);

/// The bytes of a contiguous CPU tensor, for writing it to a file.
std::span<const std::byte> bytes_of(const torch::Tensor& tensor);

}  // namespace ranktune
