#include "zero/gradient_accumulator.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"

namespace ranktune {
namespace {

FlatLayout layout() { return FlatLayout({{.name = "a", .shape = {2, 3}}, {.name = "b", .shape = {4}}}); }

TEST(GradientAccumulator, AddsSlotsInFlatOrderAndLeavesThePaddingZero) {
  const FlatLayout flat = layout();
  GradientAccumulator exact(flat, 256, GradientReduce::kExact, torch::kCPU);
  GradientAccumulator plain(flat, 256, GradientReduce::kFp32, torch::kCPU);
  const torch::Tensor a = torch::arange(6, torch::kFloat32).view({3, 2}).t();  // not contiguous
  const torch::Tensor b = torch::full({4}, -0.5, torch::kBFloat16);
  for (GradientAccumulator* accumulator : {&exact, &plain}) {
    accumulator->add(std::vector{a, b});
    accumulator->add(std::vector{a, torch::Tensor()});
  }
  const torch::Tensor expected =
      torch::tensor({0., 4., 8., 2., 6., 10., -.5, -.5, -.5, -.5}, torch::kFloat64);
  EXPECT_TRUE(torch::equal(plain.sums().narrow(0, 0, 10).to(torch::kFloat64), expected));
  EXPECT_TRUE(torch::equal(exact.sums().narrow(0, 0, 10).to(torch::kFloat64) / kFixedPointScale, expected));
  EXPECT_EQ(exact.sums().narrow(0, 10, 246).abs().sum().item<std::int64_t>(), 0);
  const FixedPointStatus status = GradientAccumulator::read_status(exact.status());
  EXPECT_TRUE(status.fits());
  EXPECT_EQ(status.bound, 2 * ((5 << 20) + 1));
}

TEST(GradientAccumulator, ClearForgetsSlotsAndTheirFaults) {
  const FlatLayout flat = layout();
  GradientAccumulator accumulator(flat, 256, GradientReduce::kExact, torch::kCPU);
  accumulator.add(std::vector{torch::full({2, 3}, NAN), torch::full({4}, 1e9)});
  const FixedPointStatus status = GradientAccumulator::read_status(accumulator.status());
  EXPECT_EQ(status.non_finite, 1);
  EXPECT_FALSE(status.fits());
  accumulator.clear();
  EXPECT_TRUE(GradientAccumulator::read_status(accumulator.status()).fits());
  EXPECT_EQ(accumulator.sums().count_nonzero().item<std::int64_t>(), 0);
}

TEST(GradientAccumulator, DividesByTheScaleBeforeItRounds) {
  const FlatLayout flat = layout();
  for (const GradientReduce reduce : {GradientReduce::kExact, GradientReduce::kFp32}) {
    GradientAccumulator plain(flat, 256, reduce, torch::kCPU), scaled(flat, 256, reduce, torch::kCPU);
    const torch::Tensor a = torch::randn({2, 3}), b = torch::randn({4}).to(torch::kFloat16);
    plain.add(std::vector{a, b});
    scaled.add(std::vector{a * 0x1p60, b.to(torch::kFloat32) * 0x1p60}, 0x1p60);
    EXPECT_TRUE(torch::equal(plain.sums(), scaled.sums()));
    EXPECT_TRUE(torch::equal(plain.status(), scaled.status()));
  }
}

TEST(GradientAccumulator, NamesTheSlotAndTheParameter) {
  const FlatLayout flat = layout();
  const torch::Tensor a = torch::zeros({2, 3}), b = torch::zeros({4});
  for (const GradientReduce reduce : {GradientReduce::kExact, GradientReduce::kFp32}) {
    GradientAccumulator accumulator(flat, 256, reduce, torch::kCPU);
    accumulator.add(std::vector{a, b});
    accumulator.add(std::vector{torch::full({2, 3}, 1e9), torch::full({4}, 1e9)});
    accumulator.add(std::vector{torch::full({2, 3}, 1e9), torch::full({4}, INFINITY)});
    const std::vector<BadSlot> bad = accumulator.bad_slots();
    const bool exact = reduce == GradientReduce::kExact;
    ASSERT_EQ(bad.size(), exact ? 2u : 1u);
    EXPECT_EQ(bad.back().ordinal, 2);
    EXPECT_EQ(bad.back().parameter, 1) << "infinity counts before what is merely large";
    EXPECT_FALSE(bad.back().finite);
    if (exact) {
      EXPECT_EQ(bad.front().ordinal, 1);
      EXPECT_EQ(bad.front().parameter, 0);
      EXPECT_TRUE(bad.front().finite);
    }
    accumulator.clear();
    EXPECT_TRUE(accumulator.bad_slots().empty());
  }
}

TEST(GradientAccumulator, RefusesOtherShapes) {
  const FlatLayout flat = layout();
  GradientAccumulator accumulator(flat, 256, GradientReduce::kExact, torch::kCPU);
  expect_error([&] { accumulator.add(std::vector{torch::zeros({2, 3})}); }, "1 gradients", "2 trained");
  expect_error([&] { accumulator.add(std::vector{torch::zeros({3, 2}), torch::zeros({4})}); }, "parameter a");
}

}  // namespace
}  // namespace ranktune
