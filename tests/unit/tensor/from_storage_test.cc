#include "tensor/from_storage.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(TensorOver, ReadsInPlaceAndKeepsTheOwnerAlive) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4, 5, 6});
  const std::weak_ptr<std::vector<float>> watch = owner;
  const TensorInfo info{
      .name = "w", .dtype = DType::kF32, .shape = {2, 3}, .data = std::as_bytes(std::span(*owner))};
  const float* data = owner->data();
  torch::Tensor row;
  {
    const torch::Tensor tensor = tensor_over(info, std::move(owner));
    EXPECT_EQ(tensor.data_ptr<float>(), data);
    row = tensor[1];
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_TRUE(torch::equal(row, torch::tensor({4.F, 5.F, 6.F})));
  row.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(TensorOver, CopiesUnalignedBytes) {
  alignas(8) std::array<std::byte, 9> bytes{};
  const float value = 2.5F;
  std::memcpy(bytes.data() + 1, &value, sizeof value);
  const TensorInfo info{.name = "w", .dtype = DType::kF32, .shape = {2}, .data = std::span(bytes).subspan(1)};
  const torch::Tensor tensor = tensor_over(info, nullptr);
  EXPECT_EQ(tensor[0].item<float>(), 2.5F);
}

TEST(TensorOver, RefusesBytesThatDoNotFit) {
  const std::array<std::byte, 8> bytes{};
  const TensorInfo info{.name = "w", .dtype = DType::kBF16, .shape = {2, 3}, .data = bytes};
  expect_error([&] { tensor_over(info, nullptr); }, "w", "8 bytes", "12");
}

TEST(BytesOf, GivesTheElementsInOrder) {
  const torch::Tensor tensor = torch::tensor({1.0F, -1.0F});
  const std::span<const std::byte> bytes = bytes_of(tensor);
  ASSERT_EQ(bytes.size(), 8u);
  EXPECT_EQ(std::memcmp(bytes.data(), tensor.data_ptr<float>(), 8), 0);
  expect_error([] { bytes_of(torch::zeros({2, 3}).t()); }, "in order");
}

}  // namespace
}  // namespace ranktune
