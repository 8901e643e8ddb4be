#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ranktune {

/// Puts a step's examples into slots of at most `tokens_per_slot` tokens: as few as best-fit-decreasing
/// needs, filled evenly (longest-processing-time rule, then exchanges). Returns, per slot, indices into
/// `lengths` in rising order; slots are ordered by their first index. Depends on its arguments alone. Throws
/// for a length that is not in 1 .. tokens_per_slot.
std::vector<std::vector<std::int32_t>> pack_slots(std::span<const std::int64_t> lengths,
                                                  std::int64_t tokens_per_slot);

/// Estimated work of a slot: per_token * tokens + per_pair * sum over examples of length^2 (attention).
struct SlotCost {
  double per_token = 1.0;
  double per_pair =
      0.0005;  ///< attention of length n costs as much as the rest near n = per_token / per_pair

  double of(std::span<const std::int64_t> example_lengths) const;
};

/// Rank of each slot: dearest first, each to the rank with the least so far; ties go to the lower index.
/// Every rank number is in 0 .. ranks-1; ranks beyond the number of slots get none.
std::vector<std::int32_t> assign_slots(std::span<const double> costs, std::int32_t ranks);

}  // namespace ranktune
