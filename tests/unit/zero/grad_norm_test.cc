#include "zero/grad_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/json.h"
#include "base/numeric.h"
#include "support/expect_error.h"
#include "zero/flat_layout.h"

namespace ranktune {
namespace {

std::vector<float> padded(std::vector<float> values) {
  values.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(values.size()), kBlock)));
  return values;
}

double norm_of(const std::vector<float>& values) {
  std::vector<double> sums(values.size() / static_cast<std::size_t>(kBlock));
  block_square_sums(values, sums);
  return norm_of_blocks(sums);
}

TEST(GradNorm, NormAndClippingAreThoseOfTorch) {
  for (const Json& given : read_json_file(RANKTUNE_TEST_DATA "/zero/clip.json")) {
    const auto gradient = given["gradient"].get<std::vector<float>>();
    const double norm = norm_of(padded(gradient));
    EXPECT_NEAR(norm, given["norm"], 1e-6 * norm);  // the reference sums in float
    const float factor = clip_factor(norm, given["max_norm"]);
    const auto clipped = given["clipped"].get<std::vector<float>>();
    for (std::size_t i = 0; i < gradient.size(); ++i)
      EXPECT_NEAR(gradient[i] * factor, clipped[i], 1e-6 * std::abs(clipped[i]));
  }
}

TEST(GradNorm, BlockSumsAreNearTheLongDoubleSum) {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal;
  std::vector<float> values(4 * kBlock);
  long double expected = 0;
  for (float& value : values) {
    value = normal(engine) * 1e-3F;
    expected += static_cast<long double>(value) * static_cast<long double>(value);
  }
  EXPECT_NEAR(norm_of(values), static_cast<double>(std::sqrt(expected)), 1e-15);
}

TEST(GradNorm, PaddingBlocksChangeNothing) {
  std::vector<float> values(kBlock, 0.3F);
  const double norm = norm_of(values);
  values.resize(5 * kBlock);
  EXPECT_EQ(norm_of(values), norm);
}

TEST(GradNorm, LargeFloatsDoNotOverflow) {
  EXPECT_TRUE(std::isfinite(norm_of(std::vector<float>(kBlock, 3e38F))));
}

TEST(GradNorm, NoLimitMeansNoClipping) {
  EXPECT_EQ(clip_factor(1e9, 0.0), 1.0F);
  EXPECT_EQ(clip_factor(0.5, 1.0), 1.0F);
}

TEST(GradNorm, RefusesBrokenBlocks) {
  std::vector<float> values(kBlock + 1);
  std::vector<double> sums(1);
  expect_error([&] { block_square_sums(values, sums); }, "257");
}

}  // namespace
}  // namespace ranktune
