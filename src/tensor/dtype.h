#pragma once

#include <torch/types.h>

#include "storage/dtype.h"

namespace ranktune {

/// LibTorch's element type for a stored one, and the other way round; throw for a type the other side lacks.
torch::ScalarType scalar_type_of(DType dtype);
DType stored_dtype_of(torch::ScalarType type);

}  // namespace ranktune
