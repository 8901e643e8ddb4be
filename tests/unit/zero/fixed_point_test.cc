#include "zero/fixed_point.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

namespace ranktune {
namespace {

std::int64_t converted(float value) {
  std::vector<std::int64_t> sum(1);
  const std::vector<float> one{value};
  add_fixed_point(one, sum);
  return sum[0];
}

TEST(FixedPoint, RoundsToNearestEven) {
  EXPECT_EQ(converted(0x1p-40F), 1);
  EXPECT_EQ(converted(-0x1p-40F), -1);
  EXPECT_EQ(converted(0x1p-41F), 0);
  EXPECT_EQ(converted(-0x1p-41F), 0);
  EXPECT_EQ(converted(0x1.8p-40F), 2);
  EXPECT_EQ(converted(0x1.4p-39F), 2);
  EXPECT_EQ(converted(0x1.cp-39F), 4);
  EXPECT_EQ(converted(1.0F), std::int64_t{1} << 40);
  EXPECT_EQ(converted(-0.0F), 0);
}

/// Reference: llrint of the exact product, for magnitudes of every exponent and both code paths.
TEST(FixedPoint, EveryMagnitudeConvertsExactly) {
  std::mt19937 engine(5);
  std::uniform_real_distribution<float> mantissa(1.0F, 2.0F);
  for (int exponent = -60; exponent < 23; ++exponent) {
    for (int i = 0; i < 50; ++i) {
      const float value = std::ldexp(mantissa(engine), exponent) * (i % 2 == 0 ? 1.0F : -1.0F);
      EXPECT_EQ(converted(value), std::llrint(std::ldexp(static_cast<double>(value), 40))) << value;
    }
  }
}

TEST(FixedPoint, SumsDoNotDependOnTheOrder) {
  std::mt19937 engine(6);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> slots(7, std::vector<float>(5000));
  for (auto& slot : slots)
    for (float& value : slot) value = normal(engine) * std::exp(4.0F * normal(engine));
  std::vector<std::int64_t> forward(5000), backward(5000);
  for (const auto& slot : slots) add_fixed_point(slot, forward);
  std::reverse(slots.begin(), slots.end());
  for (const auto& slot : slots) add_fixed_point(slot, backward);
  EXPECT_EQ(forward, backward);
}

/// Root-mean-square errors relative to the root-mean-square sum, against summing in fp64.
struct SumErrors {
  double fixed = 0, plain = 0;
};

SumErrors sum_errors(float size, int slots) {
  constexpr std::size_t kCount = 4096;
  std::mt19937 engine(9);
  std::normal_distribution<float> normal(0.0F, size);
  std::vector<std::int64_t> fixed(kCount);
  std::vector<float> plain(kCount), mean(kCount);
  std::vector<double> truth(kCount);
  for (int slot = 0; slot < slots; ++slot) {
    std::vector<float> gradient(kCount);
    for (std::size_t i = 0; i < kCount; ++i) {
      gradient[i] = normal(engine);
      plain[i] += gradient[i];
      truth[i] += static_cast<double>(gradient[i]);
    }
    add_fixed_point(gradient, fixed);
  }
  fixed_point_mean(fixed, 1.0, mean);
  double fixed_error = 0, plain_error = 0, square = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    fixed_error += std::pow(static_cast<double>(mean[i]) - truth[i], 2.0);
    plain_error += std::pow(static_cast<double>(plain[i]) - truth[i], 2.0);
    square += std::pow(truth[i], 2.0);
  }
  return {.fixed = std::sqrt(fixed_error / square), .plain = std::sqrt(plain_error / square)};
}

/// Rounding the sum once to float is all that is lost, down to gradients of 1e-4; adding in float loses more
/// with every slot.
TEST(FixedPoint, SumsAreCloserToFp64ThanFloatSums) {
  for (const int slots : {16, 64, 256}) {
    for (const float size : {1e-4F, 1e-2F, 1.0F, 30.0F}) {
      const SumErrors errors = sum_errors(size, slots);
      std::printf("%3d slots of size %-6g: fixed point %.2e, float %.2e, %.1f times as far from fp64\n",
                  slots, static_cast<double>(size), errors.fixed, errors.plain, errors.plain / errors.fixed);
      EXPECT_LT(errors.fixed, 3.5e-8) << slots << " gradients of size " << size;  // 2^-24 is 6e-8
      EXPECT_LT(errors.fixed * 2, errors.plain) << slots << " gradients of size " << size;
    }
  }
}

TEST(FixedPoint, ReportsWhatDoesNotFit) {
  const auto status = [](std::vector<float> values) {
    std::vector<std::int64_t> sum(values.size());
    return add_fixed_point(values, sum).status();
  };
  EXPECT_TRUE(status({1.0F, -3.0F}).fits());
  EXPECT_EQ(status({1.0F, -3.0F}).bound, (3 << 20) + 1);
  EXPECT_EQ(status({0x1p23F}).saturated, 1);
  EXPECT_EQ(status({std::nextafter(-0x1p23F, 0.0F)}).saturated, 0);
  EXPECT_EQ(status({1.0F, std::numeric_limits<float>::quiet_NaN()}).non_finite, 1);
  EXPECT_EQ(status({-std::numeric_limits<float>::infinity(), 2.0F}).non_finite, 1);
  EXPECT_FALSE(status({1.0F, std::numeric_limits<float>::quiet_NaN()}).fits());
}

/// The sum of the bounds refuses a step before any partial sum could leave 64 bits, and no earlier than a
/// unit.
TEST(FixedPoint, ManySlotsSaturateTogether) {
  const std::vector<float> slot{0x1p22F};
  std::vector<std::int64_t> sum(1);
  FixedPointStatus total = add_fixed_point(slot, sum).status();
  EXPECT_TRUE(total.fits());
  EXPECT_EQ(sum[0], std::int64_t{1} << 62);
  total += add_fixed_point(slot, sum).status();
  EXPECT_FALSE(total.fits());
  EXPECT_EQ(total.saturated, 0);
}

TEST(FixedPoint, MeanIsRoundedOnce) {
  const std::vector<std::int64_t> sums{3, -(std::int64_t{5} << 40), std::numeric_limits<std::int64_t>::max()};
  std::vector<float> means(3);
  fixed_point_mean(sums, 7.0, means);
  EXPECT_EQ(means[0], static_cast<float>(3 * 0x1p-40 / 7.0));
  EXPECT_EQ(means[1], static_cast<float>(-5.0 / 7.0));
  EXPECT_EQ(means[2], static_cast<float>(0x1p23 / 7.0));
}

}  // namespace
}  // namespace ranktune
