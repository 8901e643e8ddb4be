#pragma once

#include <cstddef>
#include <span>

namespace ranktune {

/// Blocks of ggml's Q8_0, bit for bit those of its quantize_row_q8_0_ref: of 32 values each a scale (fp16 of
/// the largest magnitude / 127) and 32 signed bytes, rounded half away from zero. values.size() is a multiple
/// of 32; `blocks` has 34 bytes for each 32. Error where a value is not finite or too large for the scale.
void quantize_q8_0(std::span<const float> values, std::span<std::byte> blocks);

}  // namespace ranktune
