#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ranktune {

/// One trained tensor. `decay`: weight decay applies; `lr_scale`: factor on the step's learning rate (LoRA+).
struct ParameterSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  bool decay = true;
  double lr_scale = 1.0;
};

/// Elements [begin, end) of the flat order.
struct FlatRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size() const { return end - begin; }
  bool operator==(const FlatRange&) const = default;
};

/// What two ranges share; an empty range (size 0) when nothing.
FlatRange intersect(FlatRange a, FlatRange b);

/// All trained tensors one after the other, in the order given and without padding. Order and offsets depend
/// on the parameters alone, never on the number of ranks: that is what lets a checkpoint move to another rank
/// count.
class FlatLayout {
 public:
  /// Throws for an empty list, an empty or repeated name, a dimension below 1, or a total beyond 63 bits.
  explicit FlatLayout(std::vector<ParameterSpec> specs);

  const std::vector<ParameterSpec>& specs() const { return specs_; }
  int count() const { return static_cast<int>(specs_.size()); }
  std::int64_t total() const { return offsets_.back(); }
  std::int64_t offset(int index) const { return offsets_.at(static_cast<std::size_t>(index)); }
  std::int64_t numel(int index) const { return offset(index + 1) - offset(index); }
  /// Hash of names and shapes: what must agree for optimizer state to be loaded.
  std::string hash() const;

  /// A run of elements that AdamW treats alike.
  struct Segment {
    FlatRange range;
    bool decay = true;
    double lr_scale = 1.0;
  };
  /// `range` cut where decay or learning rate change; neighbours that agree are joined.
  std::vector<Segment> segments(FlatRange range) const;

 private:
  std::vector<ParameterSpec> specs_;
  std::vector<std::int64_t> offsets_;  // one more than there are parameters
};

/// Norms are summed in blocks of this many elements, so ranks own whole blocks.
inline constexpr std::int64_t kBlock = 256;

/// Equal parts of the flat order, one per rank (Rajbhandari et al. 2020, ZeRO): part r is [r, r + 1) *
/// per_rank, the last ones being shorter or empty where the parameters end.
class Partition {
 public:
  Partition(int world_size, std::int64_t total);

  int world_size() const { return world_size_; }
  std::int64_t total() const { return total_; }
  std::int64_t per_rank() const { return per_rank_; }              ///< a multiple of kBlock
  std::int64_t padded() const { return per_rank_ * world_size_; }  ///< what collectives move
  std::int64_t blocks_per_rank() const { return per_rank_ / kBlock; }
  FlatRange range(int rank) const;  ///< clipped to total()

 private:
  int world_size_;
  std::int64_t total_;
  std::int64_t per_rank_;
};

}  // namespace ranktune
