#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "support/expect_error.h"

namespace ranktune {
namespace {

std::vector<std::uint64_t> order(std::uint64_t size, std::uint64_t seed) {
  const Permutation permutation(size, seed);
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0; i < size; ++i) all.push_back(permutation(i));
  return all;
}

// Reference: the first outputs of SplitMix64 as published by its authors (splitmix64.c); mix64 is its step
// from the state before, so the n-th output from state s is mix64(s + n * 0x9E3779B97F4A7C15).
TEST(Mix64, IsSplitMix64) {
  constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15U;
  EXPECT_EQ(mix64(0), 0xE220A8397B1DCDAFU);
  EXPECT_EQ(mix64(kStep), 0x6E789E6AA1B965F4U);
  EXPECT_EQ(mix64(2 * kStep), 0x06C45D188009454FU);
}

TEST(Mix64, AvalanchesOnEveryInputBit) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    double flipped = 0;
    for (std::uint64_t i = 0; i < 256; ++i) {
      const std::uint64_t word = mix64(i * 0x1234567);
      flipped += __builtin_popcountll(mix64((i * 0x1234567) ^ (std::uint64_t{1} << bit)) ^ word);
    }
    EXPECT_NEAR(flipped / 256, 32, 2)
        << "bit " << bit;  // 8 standard deviations of the mean of 256 draws of B(64, 1/2)
  }
}

TEST(MixSeed, DependsOnEveryWordAndItsPlace) {
  std::set<std::uint64_t> seeds{mix_seed(1),       mix_seed(1, 2),    mix_seed(2, 1), mix_seed(1, 2, 0),
                                mix_seed(1, 0, 2), mix_seed(0, 1, 2), mix_seed(0),    mix_seed(0, 0)};
  EXPECT_EQ(seeds.size(), 8U);
  EXPECT_EQ(mix_seed(7, 8, 9), mix_seed(7, 8, 9));
}

TEST(CounterRandom, IsUniform) {
  const CounterRandom random(42);
  std::array<int, 16> counts{};
  double sum = 0;
  constexpr int kDraws = 160000;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double u = random.uniform(i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    ++counts[static_cast<std::size_t>(u * 16)];
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.004);  // 5.5 standard deviations of 1 / sqrt(12 * 160000)
  double chi_squared = 0;
  for (const int count : counts) chi_squared += (count - 10000.0) * (count - 10000.0) / 10000;
  EXPECT_LT(chi_squared, 45) << "15 degrees of freedom: 45 is exceeded once in 13,000";
}

TEST(CounterRandom, AnswersAnyIndexAloneAndDiffersBySeed) {
  const CounterRandom a(1), b(2);
  EXPECT_EQ(a.bits(123456789), CounterRandom(1).bits(123456789));
  int equal = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) equal += a.bits(i) == b.bits(i) ? 1 : 0;
  EXPECT_EQ(equal, 0);
}

TEST(Permutation, IsABijection) {
  for (const std::uint64_t size :
       {1U, 2U, 3U, 4U, 5U, 7U, 16U, 17U, 63U, 64U, 65U, 255U, 1000U, 4096U, 5001U}) {
    std::vector<std::uint64_t> values = order(size, 42);
    std::sort(values.begin(), values.end());
    for (std::uint64_t i = 0; i < size; ++i) ASSERT_EQ(values[i], i) << "size " << size;
  }
}

TEST(Permutation, DependsOnTheSeedAndMovesMost) {
  const auto first = order(1000, 1), second = order(1000, 2);
  int same = 0, fixed = 0;
  for (std::size_t i = 0; i < 1000; ++i) {
    same += first[i] == second[i] ? 1 : 0;
    fixed += first[i] == i ? 1 : 0;
  }
  EXPECT_LT(same, 10) << "two random orders of any size agree in 1 place on average";
  EXPECT_LT(fixed, 10);
  EXPECT_EQ(order(1000, 1), first);
}

// Every order of three must come up about equally often over seeds.
TEST(Permutation, GivesEveryOrderOfThree) {
  std::map<std::vector<std::uint64_t>, int> counts;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) ++counts[order(3, seed)];
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& [values, count] : counts) EXPECT_NEAR(count, 1000, 150);
}

TEST(Permutation, RefusesWhatItCannotHold) {
  EXPECT_EQ(Permutation(0, 1).size(), 0U);
  expect_error([] { Permutation(0, 1)(0); }, "element 0", "permutation of 0");
  expect_error([] { Permutation(5, 1)(5); }, "element 5", "permutation of 5");
  expect_error([] { Permutation(std::uint64_t{1} << 62, 1); }, "cannot permute");
  EXPECT_LT(Permutation((std::uint64_t{1} << 62) - 1, 1)(12345), (std::uint64_t{1} << 62) - 1);
}

// Saved runs depend on these: a checkpoint resumes at a position of an epoch's order. They must never change.
TEST(Permutation, KeepsItsOrderForEver) {
  EXPECT_EQ(order(10, 42), (std::vector<std::uint64_t>{9, 0, 5, 1, 2, 8, 4, 3, 7, 6}));
  EXPECT_EQ(order(3, 7), (std::vector<std::uint64_t>{1, 0, 2}));
  const Permutation large(1000003, 123456789);
  EXPECT_EQ(large(0), 112332U);
  EXPECT_EQ(large(1), 595928U);
  EXPECT_EQ(large(1000002), 488430U);
  EXPECT_EQ(mix_seed(42, 3, 7), 10714458581094152305U);
  EXPECT_EQ(CounterRandom(42).bits(0), 14769503741126384973U);
}

}  // namespace
}  // namespace ranktune
