#include "storage/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "storage/dtype.h"

namespace ranktune {
namespace {

constexpr std::size_t kElements = 32, kBytes = 34;
constexpr std::uint16_t kHalfInfinity = 0x7C00;

/// std::round of numbers within +-128, in a form that compilers vectorise; the difference is exact.
std::int8_t rounded(float value) {
  const int whole = static_cast<int>(value);
  const float rest = value - static_cast<float>(whole);
  return static_cast<std::int8_t>(whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0));
}

void quantize_block(const float* values, std::byte* block) {
  float largest = 0;
  bool finite = true;
  for (std::size_t i = 0; i < kElements; ++i) {
    largest = std::max(largest, std::fabs(values[i]));
    finite = finite && std::isfinite(values[i]);
  }
  const float scale = largest / 127.0f;
  const float inverse = std::isfinite(1.0f / scale) ? 1.0f / scale : 0.0f;  // of scales that fp16 has as 0
  const std::uint16_t stored = f32_to_f16(scale);
  require(finite && stored < kHalfInfinity, "a value of {} cannot be stored as Q8_0", largest);
  std::memcpy(block, &stored, sizeof stored);
  std::int8_t quantised[kElements];
  for (std::size_t i = 0; i < kElements; ++i) quantised[i] = rounded(values[i] * inverse);
  std::memcpy(block + sizeof stored, quantised, kElements);
}

}  // namespace

void quantize_q8_0(std::span<const float> values, std::span<std::byte> blocks) {
  require(values.size() % kElements == 0 && blocks.size() == values.size() / kElements * kBytes,
          "{} bytes are not the Q8_0 blocks of {} values", blocks.size(), values.size());
  for (std::size_t i = 0; i < values.size() / kElements; ++i)
    quantize_block(values.data() + i * kElements, blocks.data() + i * kBytes);
}

}  // namespace ranktune
