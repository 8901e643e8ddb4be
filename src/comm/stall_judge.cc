#include "comm/stall_judge.h"

#include <fmt/format.h>

#include <algorithm>

namespace ranktune {
namespace {

std::string place(const ActivityReport& activity) {
  return fmt::format("phase {} (step {})", phase_name(activity.phase), activity.step);
}

/// The rank with the largest `measure`, -1 where none has one above `limit`.
template <typename Measure>
int largest_above(std::span<const RankState> ranks, double limit, Measure&& measure) {
  int found = -1;
  double largest = limit;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const double value = ranks[rank].finished ? -1 : measure(ranks[rank]);
    if (value > largest) {
      largest = value;
      found = static_cast<int>(rank);
    }
  }
  return found;
}

}  // namespace

std::optional<StallVerdict> find_stall(std::span<const RankState> ranks, double timeout) {
  const auto state = [&](int rank) -> const RankState& { return ranks[static_cast<std::size_t>(rank)]; };
  if (const int rank = largest_above(ranks, timeout, [](const RankState& each) { return each.silent; });
      rank >= 0) {
    return StallVerdict{rank, fmt::format("has not answered for {:.0f} s (last in {})", state(rank).silent,
                                          place(state(rank).activity))};
  }
  const int waiter =
      largest_above(ranks, timeout, [](const RankState& each) { return each.activity.waiting; });
  if (waiter < 0) return std::nullopt;
  const int stuck = largest_above(ranks, timeout, [](const RankState& each) {
    return each.activity.waiting >= 0 ? -1 : each.activity.since_progress;
  });
  if (stuck >= 0) {
    const auto waiting = std::count_if(ranks.begin(), ranks.end(), [](const RankState& each) {
      return !each.finished && each.activity.waiting >= 0;
    });
    return StallVerdict{stuck, fmt::format("has been in {} for {:.0f} s, and {} other rank{} for it",
                                           place(state(stuck).activity), state(stuck).activity.since_progress,
                                           waiting, waiting == 1 ? " waits" : "s wait")};
  }
  const bool all_wait = std::all_of(ranks.begin(), ranks.end(), [&](const RankState& each) {
    return each.finished || each.activity.waiting > timeout;
  });
  if (!all_wait) return std::nullopt;
  return StallVerdict{
      waiter, fmt::format("has been waiting in {} for {:.0f} s, and all others wait too: they wait for "
                          "different things, or the network has lost a message",
                          place(state(waiter).activity), state(waiter).activity.waiting)};
}

}  // namespace ranktune
