#include "zero/flat_layout.h"

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/numeric.h"

namespace ranktune {
namespace {

std::int64_t checked_numel(const ParameterSpec& spec) {
  std::uint64_t numel = 1;
  for (const std::int64_t dim : spec.shape) {
    require(dim >= 1, "parameter {}: dimension {} of its shape is below 1", spec.name, dim);
    numel = checked_mul(numel, static_cast<std::uint64_t>(dim), "shape");
  }
  return narrow<std::int64_t>(numel, "parameter size");
}

}  // namespace

FlatRange intersect(FlatRange a, FlatRange b) {
  const FlatRange both{std::max(a.begin, b.begin), std::min(a.end, b.end)};
  return both.begin < both.end ? both : FlatRange{both.begin, both.begin};
}

FlatLayout::FlatLayout(std::vector<ParameterSpec> specs) : specs_(std::move(specs)) {
  require(!specs_.empty(), "there is no parameter to train");
  std::unordered_set<std::string> names;
  offsets_.reserve(specs_.size() + 1);
  offsets_.push_back(0);
  for (const ParameterSpec& spec : specs_) {
    require(!spec.name.empty(), "parameter {} has no name", offsets_.size() - 1);
    require(names.insert(spec.name).second, "parameter {} is listed twice", spec.name);
    const std::int64_t numel = checked_numel(spec);
    require(numel <= std::numeric_limits<std::int64_t>::max() - offsets_.back(),
            "parameter {} takes the total beyond 63 bits", spec.name);
    offsets_.push_back(offsets_.back() + numel);
  }
}

std::string FlatLayout::hash() const {
  Hasher hasher;
  for (const ParameterSpec& spec : specs_) {
    std::string line = fmt::format("{} {}", spec.name.size(), spec.name);  // a name may hold any byte
    for (const std::int64_t dim : spec.shape) line += fmt::format(" {}", dim);
    hasher.add(line + "\n");
  }
  return hasher.hex();
}

std::vector<FlatLayout::Segment> FlatLayout::segments(FlatRange range) const {
  std::vector<Segment> result;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const FlatRange part = intersect(range, {offsets_[i], offsets_[i + 1]});
    if (part.size() == 0) continue;
    const ParameterSpec& spec = specs_[i];
    const bool joins =
        !result.empty() && result.back().decay == spec.decay && result.back().lr_scale == spec.lr_scale;
    if (joins) {
      result.back().range.end = part.end;
    } else {
      result.push_back({part, spec.decay, spec.lr_scale});
    }
  }
  return result;
}

Partition::Partition(int world_size, std::int64_t total) : world_size_(world_size), total_(total) {
  require(world_size >= 1, "a partition needs at least 1 rank, not {}", world_size);
  require(total >= 1, "a partition needs at least 1 element, not {}", total);
  // Rounding up adds less than a block per rank; beyond this bound it could wrap around.
  const std::int64_t largest = std::numeric_limits<std::int64_t>::max() - (kBlock + 1) * world_size;
  require(total <= largest, "{} elements are too many to divide among {} ranks", total, world_size);
  per_rank_ = round_up(div_up(total, world_size), kBlock);
}

FlatRange Partition::range(int rank) const {
  require(rank >= 0 && rank < world_size_, "rank {} is not one of {}", rank, world_size_);
  const std::int64_t begin = std::min(total_, per_rank_ * rank);
  return {begin, std::min(total_, begin + per_rank_)};
}

}  // namespace ranktune
