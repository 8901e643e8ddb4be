#include "storage/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "byte_files.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(QuantizeTest, Q8IsByteEqualToTheGgufPackage) {
  const SafetensorsFile file = SafetensorsFile::open(test_file("quantize.safetensors"));
  const auto values = values_of<float>(file.get("values"));
  const std::span<const std::byte> wanted = file.get("blocks").data;
  ASSERT_GE(values.size(), 9000u);
  std::vector<std::byte> blocks(wanted.size());
  quantize_q8_0(values, blocks);
  for (std::size_t i = 0; i < blocks.size(); ++i)
    ASSERT_EQ(blocks[i], wanted[i]) << "byte " << i % 34 << " of block " << i / 34;
}

TEST(QuantizeTest, ValuesThatNoScaleHoldsAreRefused) {
  std::vector<float> values(64, 1.0f);
  std::vector<std::byte> blocks(68);
  for (const float bad :
       {1e7f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    values[40] = bad;
    expect_error([&] { quantize_q8_0(values, blocks); }, "Q8_0");
  }
  expect_error([&] { quantize_q8_0(std::span(values).first(33), blocks); }, "33 values");
  // So small that the scale is 0 in fp16, or no number has it as an inverse.
  for (const float small : {1e-7f, 1e-44f}) {
    std::fill(values.begin(), values.end(), small);
    quantize_q8_0(values, blocks);
    EXPECT_EQ(blocks[0], std::byte{0});
    EXPECT_EQ(blocks[1], std::byte{0});
  }
}

}  // namespace
}  // namespace ranktune
