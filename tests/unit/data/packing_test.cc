#include "data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

std::vector<std::int64_t> random_lengths(std::uint64_t seed, std::size_t count, std::int64_t most) {
  const CounterRandom random(seed);
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < count; ++i) {
    lengths.push_back(1 + static_cast<std::int64_t>(random.bits(i) % static_cast<std::uint64_t>(most)));
  }
  return lengths;
}

std::int64_t load_of(const std::vector<std::int32_t>& slot, const std::vector<std::int64_t>& lengths) {
  std::int64_t load = 0;
  for (const std::int32_t i : slot) load += lengths[static_cast<std::size_t>(i)];
  return load;
}

/// Best-fit-decreasing in its plainest form: the number of bins the packing must not exceed.
std::size_t best_fit_count(std::vector<std::int64_t> lengths, std::int64_t capacity) {
  std::sort(lengths.rbegin(), lengths.rend());
  std::vector<std::int64_t> space;
  for (const std::int64_t length : lengths) {
    auto best = space.end();
    for (auto it = space.begin(); it != space.end(); ++it) {
      if (*it >= length && (best == space.end() || *it < *best)) best = it;
    }
    if (best == space.end()) {
      space.push_back(capacity - length);
    } else {
      *best -= length;
    }
  }
  return space.size();
}

TEST(Packing, EveryExampleOnceNeverOverfullAndAsFewSlotsAsBestFitDecreasing) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const std::int64_t capacity = 50 + static_cast<std::int64_t>(mix64(seed) % 2000);
    const auto lengths = random_lengths(seed, 1 + mix64(seed + 7) % 90, capacity);
    const auto slots = pack_slots(lengths, capacity);
    std::vector<int> seen(lengths.size(), 0);
    for (const auto& slot : slots) {
      EXPECT_TRUE(std::is_sorted(slot.begin(), slot.end()));
      EXPECT_LE(load_of(slot, lengths), capacity);
      for (const std::int32_t i : slot) seen[static_cast<std::size_t>(i)] += 1;
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(seen.size()));
    EXPECT_EQ(slots.size(), best_fit_count(lengths, capacity)) << "seed " << seed;
    EXPECT_TRUE(std::is_sorted(slots.begin(), slots.end()));
    EXPECT_EQ(pack_slots(lengths, capacity), slots);
  }
}

TEST(Packing, SlotsAreNearlyEqual) {
  // 64 examples of 100 .. 300 tokens: the loads may differ by much less than one example.
  auto lengths = random_lengths(5, 64, 200);
  for (auto& length : lengths) length += 100;
  const auto slots = pack_slots(lengths, 2048);
  std::vector<std::int64_t> loads;
  for (const auto& slot : slots) loads.push_back(load_of(slot, lengths));
  const auto [low, high] = std::minmax_element(loads.begin(), loads.end());
  EXPECT_LE(*high - *low, 20);
}

TEST(Packing, KnownCases) {
  using Slots = std::vector<std::vector<std::int32_t>>;
  EXPECT_EQ(pack_slots(std::vector<std::int64_t>{10, 10, 10, 10}, 20), (Slots{{0, 2}, {1, 3}}));
  EXPECT_EQ(pack_slots(std::vector<std::int64_t>{7}, 7), (Slots{{0}}));
  EXPECT_TRUE(pack_slots({}, 7).empty());
  // Six, four and two parts of ten: longest-first alone would overfill here, best fit does not.
  EXPECT_EQ(pack_slots(std::vector<std::int64_t>{6, 4, 4, 2, 2, 2}, 10).size(), 2u);
  expect_error(
      [] {
        pack_slots(std::vector<std::int64_t>{5, 21}, 20);
      },
      "example 1", "21", "tokens_per_slot");
  expect_error([] { pack_slots(std::vector<std::int64_t>{0}, 20); }, "example 0");
}

TEST(AssignSlots, FollowsTheGreedyRuleWithTiesToTheLowerIndex) {
  EXPECT_EQ(assign_slots(std::vector<double>{1, 1, 1, 1}, 2), (std::vector<std::int32_t>{0, 1, 0, 1}));
  EXPECT_EQ(assign_slots(std::vector<double>{1, 5, 3, 3}, 2), (std::vector<std::int32_t>{0, 0, 1, 1}));
  EXPECT_EQ(assign_slots(std::vector<double>{2}, 4), (std::vector<std::int32_t>{0}));
  EXPECT_TRUE(assign_slots({}, 3).empty());
  expect_error([] { assign_slots(std::vector<double>{1}, 0); }, "0 ranks");
}

TEST(AssignSlots, NoRankExceedsTheBoundOfTheGreedyRule) {
  // Graham 1969: the largest load is at most 4/3 - 1/(3R) of the optimum, which is at least the mean and the
  // largest.
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto lengths = random_lengths(seed, 1 + mix64(seed) % 40, 1000);
    std::vector<double> costs;
    for (const std::int64_t length : lengths) costs.push_back(SlotCost{}.of(std::span(&length, 1)));
    const auto ranks = static_cast<std::int32_t>(1 + mix64(seed + 3) % 8);
    std::vector<double> loads(static_cast<std::size_t>(ranks), 0.0);
    const auto rank_of = assign_slots(costs, ranks);
    for (std::size_t i = 0; i < costs.size(); ++i) loads.at(static_cast<std::size_t>(rank_of[i])) += costs[i];
    const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
    const double largest = *std::max_element(costs.begin(), costs.end());
    const double highest = *std::max_element(loads.begin(), loads.end());
    EXPECT_LE(highest, total / ranks + largest * (1.0 - 1.0 / ranks) + 1e-9);
  }
}

TEST(SlotCost, IsLinearPlusQuadraticPerExample) {
  const std::vector<std::int64_t> lengths{10, 20};
  EXPECT_DOUBLE_EQ((SlotCost{.per_token = 2.0, .per_pair = 0.5}).of(lengths), 2.0 * 30 + 0.5 * (100 + 400));
}

}  // namespace
}  // namespace ranktune
