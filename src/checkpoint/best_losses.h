#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace ranktune {

/// The lowest validation losses of a run so far: says whether the checkpoint of a new one is among those that
/// checkpoint.keep_best keeps.
class BestLosses {
 public:
  /// `count` losses are remembered, the lowest one in any case.
  explicit BestLosses(std::int64_t count);

  /// Takes a loss up. True where it is among the `count` lowest, of equal ones the earlier; NaN and infinity
  /// never are.
  bool add(double loss);
  std::optional<double> lowest() const;
  /// Ascending; what a checkpoint records, to be added again on resuming.
  const std::vector<double>& losses() const { return losses_; }

 private:
  std::size_t kept_, remembered_;
  std::vector<double> losses_;
};

}  // namespace ranktune
