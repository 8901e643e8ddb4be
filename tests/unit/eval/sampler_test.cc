#include "eval/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace ranktune {
namespace {

constexpr std::int64_t kDraws = 20000;

/// How often each token comes in kDraws draws.
std::vector<double> shares(const torch::Tensor& logits, const SamplingOptions& options) {
  std::vector<double> counts(static_cast<std::size_t>(logits.size(0)), 0.0);
  for (std::int64_t i = 0; i < kDraws; ++i)
    counts[static_cast<std::size_t>(sample(logits, options, static_cast<std::uint64_t>(i)))] += 1.0 / kDraws;
  return counts;
}

/// Five standard deviations of a share p among kDraws draws.
double tolerance(double p) { return 5 * std::sqrt(p * (1 - p) / kDraws); }

const torch::Tensor& four_tokens() {  // probabilities 0.1, 0.4, 0.2, 0.3
  static const torch::Tensor logits = torch::tensor({0.1f, 0.4f, 0.2f, 0.3f}).log() + 7.0f;
  return logits;
}

TEST(Sampler, TemperatureZeroTakesTheLikeliest) {
  for (std::uint64_t i = 0; i < 20; ++i) EXPECT_EQ(sample(four_tokens(), {.seed = i}, i), 1);
}

TEST(Sampler, TemperatureOneDrawsByTheProbabilities) {
  const std::vector<double> wanted{0.1, 0.4, 0.2, 0.3};
  const auto found = shares(four_tokens(), {.temperature = 1, .seed = 1});
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], wanted[i], tolerance(wanted[i])) << i;
}

TEST(Sampler, TemperatureRaisesProbabilitiesToItsInverse) {
  const auto found = shares(four_tokens(), {.temperature = 0.5, .seed = 2});
  const double total = 0.01 + 0.16 + 0.04 + 0.09;
  const std::vector<double> wanted{0.01 / total, 0.16 / total, 0.04 / total, 0.09 / total};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], wanted[i], tolerance(wanted[i])) << i;
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  // 0.4 + 0.3 = 0.7 reaches 0.65 but not 0.75.
  const auto two = shares(four_tokens(), {.temperature = 1, .top_p = 0.65, .seed = 3});
  EXPECT_EQ(two[0] + two[2], 0.0);
  EXPECT_NEAR(two[1], 4.0 / 7, tolerance(4.0 / 7));
  const auto three = shares(four_tokens(), {.temperature = 1, .top_p = 0.75, .seed = 3});
  EXPECT_EQ(three[0], 0.0);
  EXPECT_NEAR(three[2], 2.0 / 9, tolerance(2.0 / 9));
  const auto one = shares(four_tokens(), {.temperature = 1, .top_p = 1e-6, .seed = 3});
  EXPECT_NEAR(one[1], 1.0, 1e-9);
}

TEST(Sampler, TheSeedDecides) {
  const torch::Tensor logits = torch::zeros({1000});
  const SamplingOptions first{.temperature = 1, .seed = 4}, second{.temperature = 1, .seed = 5};
  int differing = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(sample(logits, first, i), sample(logits, first, i));
    differing += sample(logits, first, i) != sample(logits, second, i) ? 1 : 0;
  }
  EXPECT_GT(differing, 90);
}

TEST(Sampler, ATokenOfNoProbabilityNeverComes) {
  const torch::Tensor logits = torch::tensor({-INFINITY, 0.0f, -INFINITY, 0.0f});
  const auto found = shares(logits, {.temperature = 1, .seed = 6});
  EXPECT_EQ(found[0] + found[2], 0.0);
}

}  // namespace
}  // namespace ranktune
