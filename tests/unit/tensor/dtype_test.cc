#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace ranktune {
namespace {

/// torch's own sizes and names are the reference.
TEST(DtypeOf, BothLibrariesMeanTheSameTypes) {
  for (int number = 0; number <= static_cast<int>(DType::kF64); ++number) {
    const auto dtype = static_cast<DType>(number);
    const torch::ScalarType type = scalar_type_of(dtype);
    EXPECT_EQ(c10::elementSize(type), dtype_size(dtype)) << dtype_name(dtype);
    EXPECT_EQ(stored_dtype_of(type), dtype);
  }
  EXPECT_EQ(scalar_type_of(DType::kBF16), torch::kBFloat16);
  EXPECT_EQ(scalar_type_of(DType::kF16), torch::kFloat16);
}

TEST(DtypeOf, RefusesTypesOfOneSide) {
  expect_error([] { stored_dtype_of(torch::kComplexFloat); }, "ComplexFloat");
}

}  // namespace
}  // namespace ranktune
