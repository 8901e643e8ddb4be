#include "tensor/buffer_of.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(BufferOf, DescribesTheMemoryOfATensor) {
  const torch::Tensor tensor = torch::zeros({10}, torch::kInt64);
  const Buffer buffer = buffer_of(tensor.narrow(0, 4, 3));
  EXPECT_EQ(buffer.data, tensor.data_ptr<std::int64_t>() + 4);
  EXPECT_EQ(buffer.count, 3);
  EXPECT_EQ(buffer.type, ElementType::kInt64);
  EXPECT_EQ(buffer.device, DeviceKind::kCpu);
  EXPECT_EQ(buffer_of(torch::zeros({2, 2}, torch::kBFloat16)).type, ElementType::kBFloat16);
}

TEST(BufferOf, ElementSizesAreThoseOfTorch) {
  for (const auto type :
       {torch::kUInt8, torch::kInt32, torch::kInt64, torch::kFloat32, torch::kFloat64, torch::kBFloat16})
    EXPECT_EQ(element_size(buffer_of(torch::zeros({1}, type)).type), c10::elementSize(type));
}

TEST(BufferOf, RefusesWhatCollectivesCannotMove) {
  expect_error([] { buffer_of(torch::zeros({2, 3}).t()); }, "contiguous");
  expect_error([] { buffer_of(torch::Tensor()); }, "contiguous");
  expect_error([] { buffer_of(torch::zeros({2}, torch::kComplexFloat)); }, "ComplexFloat");
}

}  // namespace
}  // namespace ranktune
