#include "data/packing.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <queue>
#include <set>
#include <utility>

#include "base/error.h"

namespace ranktune {
namespace {

struct Bin {
  std::int64_t load = 0;
  std::vector<std::int32_t> items;
};

struct Packing {
  std::span<const std::int64_t> lengths;
  std::int64_t capacity;

  std::int64_t length(std::int32_t item) const { return lengths[static_cast<std::size_t>(item)]; }

  void put(Bin& bin, std::int32_t item) const {
    bin.items.push_back(item);
    bin.load += length(item);
  }

  std::vector<std::int32_t> longest_first() const {
    std::vector<std::int32_t> order(lengths.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [this](std::int32_t a, std::int32_t b) { return length(a) > length(b); });
    return order;
  }

  std::vector<Bin> best_fit(const std::vector<std::int32_t>& order) const {
    std::vector<Bin> bins;
    std::set<std::pair<std::int64_t, std::size_t>> by_space;
    for (const std::int32_t item : order) {
      const auto found = by_space.lower_bound({length(item), 0});
      std::size_t bin = bins.size();
      if (found == by_space.end()) {
        bins.emplace_back();
      } else {
        bin = found->second;
        by_space.erase(found);
      }
      put(bins[bin], item);
      by_space.insert({capacity - bins[bin].load, bin});
    }
    return bins;
  }

  /// Longest-processing-time rule over `count` bins; nothing when a bin would overflow.
  std::optional<std::vector<Bin>> even(const std::vector<std::int32_t>& order, std::size_t count) const {
    using Entry = std::pair<std::int64_t, std::size_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> lightest;
    std::vector<Bin> bins(count);
    for (std::size_t i = 0; i < count; ++i) lightest.push({0, i});
    for (const std::int32_t item : order) {
      const std::size_t bin = lightest.top().second;
      lightest.pop();
      if (bins[bin].load + length(item) > capacity) return std::nullopt;
      put(bins[bin], item);
      lightest.push({bins[bin].load, bin});
    }
    return bins;
  }

  /// One move or exchange between the heaviest and the lightest bin that brings them closer; false if there
  /// is none.
  bool improve(Bin& heavy, Bin& light) const {
    const std::int64_t gap = heavy.load - light.load;
    std::int64_t best = gap;
    std::size_t give = 0, take = 0;
    const auto consider = [&](std::size_t i, std::size_t j, std::int64_t shift) {
      if (shift <= 0 || shift >= gap) return;
      const std::int64_t rest = std::abs(gap - 2 * shift);
      if (rest < best) {
        best = rest;
        give = i;
        take = j;
      }
    };
    for (std::size_t i = 0; i < heavy.items.size(); ++i) {
      const std::int64_t given = length(heavy.items[i]);
      for (std::size_t j = 0; j < light.items.size(); ++j) consider(i, j, given - length(light.items[j]));
      consider(i, light.items.size(), given);
    }
    if (best == gap) return false;
    const std::int32_t given = heavy.items[give];
    heavy.items.erase(heavy.items.begin() + static_cast<std::ptrdiff_t>(give));
    heavy.load -= length(given);
    if (take < light.items.size()) {
      const std::int32_t taken = light.items[take];
      light.items.erase(light.items.begin() + static_cast<std::ptrdiff_t>(take));
      light.load -= length(taken);
      put(heavy, taken);
    }
    put(light, given);
    return true;
  }
};

}  // namespace

std::vector<std::vector<std::int32_t>> pack_slots(std::span<const std::int64_t> lengths,
                                                  std::int64_t tokens_per_slot) {
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    require(
        lengths[i] >= 1 && lengths[i] <= tokens_per_slot,
        "example {} has {} tokens, a slot holds 1 .. {}; raise batch.tokens_per_slot or prepare shorter rows",
        i, lengths[i], tokens_per_slot);
  }
  const Packing packing{lengths, tokens_per_slot};
  const std::vector<std::int32_t> order = packing.longest_first();
  std::vector<Bin> bins = packing.best_fit(order);
  if (auto evened = packing.even(order, bins.size())) bins = std::move(*evened);
  const auto lighter = [](const Bin& a, const Bin& b) { return a.load < b.load; };
  // Every step lowers the sum of squared loads, so this ends; the bound keeps hostile inputs cheap.
  for (std::size_t round = 0; bins.size() > 1 && round < 2 * lengths.size(); ++round) {
    const auto heavy = std::max_element(bins.begin(), bins.end(), lighter);
    const auto light = std::min_element(bins.begin(), bins.end(), lighter);
    if (!packing.improve(*heavy, *light)) break;
  }
  std::vector<std::vector<std::int32_t>> slots;
  for (Bin& bin : bins) {
    std::sort(bin.items.begin(), bin.items.end());
    slots.push_back(std::move(bin.items));
  }
  std::sort(slots.begin(), slots.end());
  return slots;
}

double SlotCost::of(std::span<const std::int64_t> example_lengths) const {
  double cost = 0.0;
  for (const std::int64_t length : example_lengths) {
    const auto n = static_cast<double>(length);
    cost += per_token * n + per_pair * n * n;
  }
  return cost;
}

std::vector<std::int32_t> assign_slots(std::span<const double> costs, std::int32_t ranks) {
  require(ranks > 0, "slots cannot be divided among {} ranks", ranks);
  std::vector<std::size_t> order(costs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return costs[a] > costs[b]; });
  using Entry = std::pair<double, std::int32_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> idlest;
  for (std::int32_t rank = 0; rank < ranks; ++rank) idlest.push({0.0, rank});
  std::vector<std::int32_t> rank_of(costs.size());
  for (const std::size_t slot : order) {
    const auto [load, rank] = idlest.top();
    idlest.pop();
    rank_of[slot] = rank;
    idlest.push({load + costs[slot], rank});
  }
  return rank_of;
}

}  // namespace ranktune
