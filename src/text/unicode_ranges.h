#pragma once

#include <cstdint>
#include <span>

namespace ranktune {

/// first..last, both included.
struct CodeRange {
  std::uint32_t first, last;
};

/// Code points of general category L (letters) and N (numbers), ascending. Kept here and not asked of a
/// system library, because libraries differ in their Unicode version and ids must not.
std::span<const CodeRange> letter_ranges();
std::span<const CodeRange> number_ranges();

}  // namespace ranktune
