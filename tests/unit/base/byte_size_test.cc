#include "base/byte_size.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(ByteSize, UnitsAreHuggingFaces) {
  EXPECT_EQ(parse_byte_size("5GB"), 5'000'000'000u);
  EXPECT_EQ(parse_byte_size("200KB"), 200'000u);
  EXPECT_EQ(parse_byte_size("1.5 MB"), 1'500'000u);
  EXPECT_EQ(parse_byte_size("2GiB"), std::uint64_t{1} << 31);
  EXPECT_EQ(parse_byte_size("3TB"), 3'000'000'000'000u);
  EXPECT_EQ(parse_byte_size("800000"), 800'000u);
  EXPECT_EQ(parse_byte_size("7B"), 7u);
}

TEST(ByteSize, AnythingElseIsRefusedWithAnExample) {
  for (const char* text :
       {"", "GB", "5Gb", "5G", "-1GB", "0GB", "0.5", "5GB ", "1e30TB", "nan", "infGB", "5 GB MB"})
    expect_error([&] { parse_byte_size(text); }, text, "5GB");
}

}  // namespace
}  // namespace ranktune
