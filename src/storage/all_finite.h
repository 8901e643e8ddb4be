#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "storage/dtype.h"

namespace ranktune {

/// The place of the first element that is NaN or infinite among `data`'s elements of kF32, kBF16 or kF16 (no
/// alignment needed); nothing where all are finite. Error for other types. As fast as memory.
std::optional<std::uint64_t> first_not_finite(std::span<const std::byte> data, DType dtype);

}  // namespace ranktune
