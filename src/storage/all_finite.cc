#include "storage/all_finite.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace ranktune {
namespace {

/// NaN and infinity are what has all bits of the exponent set.
template <typename Word, Word kExponent>
std::optional<std::uint64_t> search(std::span<const std::byte> data) {
  // A block is only looked at as a whole, which the compiler turns into vector instructions; the guilty one
  // is then searched.
  constexpr std::size_t kBlock = 4096;
  const std::size_t count = data.size() / sizeof(Word);
  Word values[kBlock];
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t size = std::min(kBlock, count - first);
    std::memcpy(values, data.data() + first * sizeof(Word), size * sizeof(Word));
    Word found = 0;
    for (std::size_t i = 0; i < size; ++i)
      found = static_cast<Word>(found | ((values[i] & kExponent) == kExponent ? 1 : 0));
    if (found == 0) continue;
    const auto* bad =
        std::find_if(values, values + size, [](Word value) { return (value & kExponent) == kExponent; });
    return first + static_cast<std::uint64_t>(bad - values);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> first_not_finite(std::span<const std::byte> data, DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return search<std::uint16_t, 0x7F80>(data);
    case DType::kF16:
      return search<std::uint16_t, 0x7C00>(data);
    case DType::kF32:
      return search<std::uint32_t, 0x7F800000>(data);
    default:
      fail("only F32, F16 and BF16 can be NaN or infinite, not {}", dtype_name(dtype));
  }
}

}  // namespace ranktune
