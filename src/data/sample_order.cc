#include "data/sample_order.h"

#include "base/error.h"

namespace ranktune {

SampleOrder::SampleOrder(std::int64_t rows, std::uint64_t seed, bool shuffle)
    : rows_(rows), seed_(seed), shuffle_(shuffle) {
  require(rows > 0, "an order needs at least one row, there are {}", rows);
}

std::int64_t SampleOrder::row(std::int64_t position) const {
  require(position >= 0, "position {} is negative", position);
  const std::int64_t place = position % rows_;
  if (!shuffle_) return place;
  const std::uint64_t epoch_seed = mix_seed(seed_, static_cast<std::uint64_t>(epoch(position)));
  const Permutation permutation(static_cast<std::uint64_t>(rows_), epoch_seed);
  return static_cast<std::int64_t>(permutation(static_cast<std::uint64_t>(place)));
}

}  // namespace ranktune
