#include "storage/all_finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "support/expect_error.h"

namespace ranktune {
namespace {

/// `count` large but finite elements of `dtype` beginning at an odd address, `special` at `place`.
std::optional<std::uint64_t> search(DType dtype, std::size_t count, std::size_t place, float special) {
  const float largest = dtype == DType::kF16 ? 65504.0f : 3.3e38f;
  std::vector<float> values(count, largest);
  for (std::size_t i = 1; i < count; i += 2) values[i] = -largest;
  values[place] = special;
  std::vector<std::byte> bytes(count * dtype_size(dtype) + 1);
  const std::span<std::byte> odd = std::span(bytes).subspan(1);
  round_from_f32(values, dtype, odd);
  return first_not_finite(odd, dtype);
}

TEST(FirstNotFinite, FindsNanAndInfinityAnywhere) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const std::size_t place : {0u, 1u, 4095u, 4096u, 9998u}) {
      for (const float bad : {infinity, -infinity, std::nanf("")})
        EXPECT_EQ(search(dtype, 9999, place, bad), place) << dtype_name(dtype);
      EXPECT_EQ(search(dtype, 9999, place, 1e-40f), std::nullopt) << dtype_name(dtype);
    }
  }
  EXPECT_EQ(first_not_finite({}, DType::kF32), std::nullopt);
}

TEST(FirstNotFinite, RefusesIntegers) {
  expect_error([] { first_not_finite({}, DType::kI32); }, "I32");
}

}  // namespace
}  // namespace ranktune
