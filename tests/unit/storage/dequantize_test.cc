#include "storage/dequantize.h"

#include <gtest/gtest.h>

#include <bit>

#include "byte_files.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

class DequantizeTest : public testing::TestWithParam<GgmlType> {};

TEST_P(DequantizeTest, IsBitEqualToTheGgufPackage) {
  const SafetensorsFile file = SafetensorsFile::open(test_file("dequantize.safetensors"));
  const std::string name(ggml_type_name(GetParam()));
  const auto wanted = values_of<float>(file.get(name + ".values"));
  ASSERT_GE(wanted.size(), 128u);
  std::vector<float> values(wanted.size());
  dequantize(GetParam(), file.get(name + ".blocks").data, values);
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(wanted[i]))
        << "element " << i << ": " << values[i] << " instead of " << wanted[i];
}

TEST_P(DequantizeTest, RefusesAnotherNumberOfBytes) {
  std::vector<float> values(ggml_block_elements(GetParam()));
  const std::vector<std::byte> blocks(ggml_block_bytes(GetParam()) + 1);
  expect_error([&] { dequantize(GetParam(), blocks, values); }, ggml_type_name(GetParam()).data());
  if (values.size() > 1)
    expect_error([&] { dequantize(GetParam(), {}, std::span(values).first(1)); }, "1 elements");
}

TEST_P(DequantizeTest, KnowsItsNumber) {
  EXPECT_EQ(ggml_type_from_number(static_cast<std::uint32_t>(GetParam())), GetParam());
}

INSTANTIATE_TEST_SUITE_P(AllTypes, DequantizeTest,
                         testing::Values(GgmlType::kF32, GgmlType::kF16, GgmlType::kBF16, GgmlType::kQ4_0,
                                         GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ8_0,
                                         GgmlType::kQ4_K, GgmlType::kQ6_K),
                         [](const auto& test) { return std::string(ggml_type_name(test.param)); });

TEST(GgmlTypeTest, UnknownNumbersAreNoTypes) {
  EXPECT_EQ(ggml_type_from_number(10), std::nullopt);  // Q2_K
  EXPECT_EQ(ggml_type_from_number(0xFFFFFFFFu), std::nullopt);
}

}  // namespace
}  // namespace ranktune
