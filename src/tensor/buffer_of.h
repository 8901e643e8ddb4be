#pragma once

#include <torch/types.h>

#include "comm/buffer.h"

namespace ranktune {

/// The tensor's memory as a collective takes it: all elements, in order. The tensor must be contiguous, of a
/// dtype that collectives know, and must outlive the collective. Errors name the shape, the strides or the
/// dtype.
Buffer buffer_of(const torch::Tensor& tensor);

}  // namespace ranktune
