#include "storage/dtype.h"

#include <gtest/gtest.h>

#include <cmath>

#include "byte_files.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

/// The same number bit for bit, or both NaN of the same sign: which NaN a rounding gives is left open by IEEE
/// 754.
bool same_bf16(std::uint16_t a, std::uint16_t b) {
  const float x = bf16_to_f32(a), y = bf16_to_f32(b);
  return a == b || (std::isnan(x) && std::isnan(y));
}
bool same_f16(std::uint16_t a, std::uint16_t b) {
  const float x = f16_to_f32(a), y = f16_to_f32(b);
  return a == b || (std::isnan(x) && std::isnan(y));
}

TEST(DTypeTest, NamesAndSizesAreThoseOfSafetensors) {
  const SafetensorsFile file = SafetensorsFile::open(test_file("reference.safetensors"));
  EXPECT_EQ(file.get("alpha").dtype, DType::kF64);
  EXPECT_EQ(file.get("half").dtype, DType::kBF16);
  EXPECT_EQ(file.get("empty").dtype, DType::kF16);
  EXPECT_EQ(file.get("mask").dtype, DType::kBool);
  for (const TensorInfo& tensor : file.tensors()) {
    std::int64_t elements = 1;
    for (const std::int64_t size : tensor.shape) elements *= size;
    EXPECT_EQ(elements * static_cast<std::int64_t>(dtype_size(tensor.dtype)), std::ssize(tensor.data))
        << tensor.name;
    EXPECT_EQ(dtype_from_name(dtype_name(tensor.dtype)), tensor.dtype);
  }
  EXPECT_EQ(dtype_from_name("F31"), std::nullopt);
  EXPECT_EQ(torch_dtype_name(DType::kBF16), "bfloat16");
  expect_error([] { torch_dtype_name(DType::kI64); }, "I64", "BF16");
}

TEST(DTypeTest, RoundsAsTorchDoes) {
  const SafetensorsFile file = SafetensorsFile::open(test_file("rounding.safetensors"));
  const auto values = values_of<float>(file.get("f32"));
  const auto bf16 = values_of<std::uint16_t>(file.get("f32.bf16"));
  const auto f16 = values_of<std::uint16_t>(file.get("f32.f16"));
  ASSERT_GT(values.size(), 5000u);
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_TRUE(same_bf16(f32_to_bf16(values[i]), bf16[i])) << std::hexfloat << values[i];
    EXPECT_TRUE(same_f16(f32_to_f16(values[i]), f16[i])) << std::hexfloat << values[i];
  }
}

TEST(DTypeTest, WidensAsTorchDoes) {
  const SafetensorsFile file = SafetensorsFile::open(test_file("rounding.safetensors"));
  const auto f16 = values_of<std::uint16_t>(file.get("f16"));
  const auto wanted = values_of<float>(file.get("f16.f32"));
  for (std::size_t i = 0; i < f16.size(); ++i) {
    const float value = f16_to_f32(f16[i]);
    if (std::isnan(wanted[i]))
      EXPECT_TRUE(std::isnan(value)) << f16[i];
    else
      EXPECT_EQ(std::bit_cast<std::uint32_t>(value), std::bit_cast<std::uint32_t>(wanted[i])) << f16[i];
  }
}

TEST(DTypeTest, EveryHalfSurvivesWideningAndRounding) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    EXPECT_TRUE(same_f16(f32_to_f16(f16_to_f32(half)), half)) << bits;
    EXPECT_TRUE(same_bf16(f32_to_bf16(bf16_to_f32(half)), half)) << bits;
  }
}

TEST(DTypeTest, NaNStaysNaNWithItsSign) {
  // All payload bits lie below those that are kept, and rounding up would carry into infinity.
  for (const std::uint32_t bits : {0x7F800001u, 0xFF800001u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    const float value = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value)))) << bits;
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value)))) << bits;
    EXPECT_EQ(f32_to_bf16(value) >> 15, bits >> 31);
    EXPECT_EQ(f32_to_f16(value) >> 15, bits >> 31);
  }
}

TEST(DTypeTest, BulkConversionChecksSizesAndTypes) {
  const std::vector<float> values{1.0f, -2.5f, 3e38f};
  std::vector<std::byte> stored(6);
  round_from_f32(values, DType::kBF16, stored);
  std::vector<float> back(3);
  widen_to_f32(stored, DType::kBF16, back);
  EXPECT_EQ(back[0], 1.0f);
  EXPECT_EQ(back[1], -2.5f);
  EXPECT_NEAR(back[2] / 3e38f, 1.0f, 1.0f / 256);
  expect_error([&] { widen_to_f32(stored, DType::kF32, back); }, "6 bytes", "3 elements", "F32");
  expect_error([&] { round_from_f32(values, DType::kF32, stored); }, "6 bytes");
  expect_error([&] { widen_to_f32(std::span(stored).first(3), DType::kU8, back); }, "U8");
}

}  // namespace
}  // namespace ranktune
