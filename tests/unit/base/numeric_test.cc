#include "base/numeric.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "support/expect_error.h"

namespace ranktune {
namespace {

constexpr auto kMax64 = std::numeric_limits<std::uint64_t>::max();

TEST(Narrow, KeepsWhatFitsAndRefusesTheRest) {
  EXPECT_EQ(narrow<std::int32_t>(std::int64_t{2147483647}), 2147483647);
  EXPECT_EQ(narrow<std::int8_t>(-128), -128);
  expect_error([] { narrow<std::int32_t>(std::int64_t{2147483648}, "count"); }, "count 2147483648",
               "32 bits");
  expect_error([] { narrow<std::uint64_t>(-1, "size"); }, "size -1", "64 bits");
  expect_error([] { narrow<std::int64_t>(kMax64); }, "18446744073709551615", "64 bits");
  expect_error([] { narrow<std::int8_t>(128); }, "128", "8 bits");
}

TEST(DivExact, DividesOrNamesBothNumbers) {
  EXPECT_EQ(div_exact(12, 4), 3);
  EXPECT_EQ(div_exact(0, 4), 0);
  expect_error([] { div_exact(13, 4, "heads"); }, "heads 13 is not a multiple of 4");
  expect_error([] { div_exact(13, 0, "heads"); }, "heads 13", "0");
}

TEST(Rounding, GoesUp) {
  EXPECT_EQ(div_up(0, 8), 0);
  EXPECT_EQ(div_up(1, 8), 1);
  EXPECT_EQ(div_up(8, 8), 1);
  EXPECT_EQ(div_up(9, 8), 2);
  EXPECT_EQ(round_up(0, 8), 0);
  EXPECT_EQ(round_up(17, 8), 24);
  EXPECT_EQ(round_up(24, 8), 24);
}

TEST(Checked, MultipliesAndAddsUpToTheLastValue) {
  EXPECT_EQ(checked_mul(kMax64 / 2, 2), kMax64 - 1);
  EXPECT_EQ(checked_mul(kMax64, 1), kMax64);
  EXPECT_EQ(checked_mul(0, kMax64), 0U);
  EXPECT_EQ(checked_add(kMax64 - 1, 1), kMax64);
  expect_error([] { checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32, "rows"); }, "rows 4294967296",
               "beyond 64");
  expect_error([] { checked_add(kMax64, 1, "offset"); }, "offset 18446744073709551615 + 1", "beyond 64");
}

}  // namespace
}  // namespace ranktune
