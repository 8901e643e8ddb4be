#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>

#include "zero/fixed_point.h"
#include "zero/flat_layout.h"
#include "zero/zero_options.h"

namespace ranktune {

/// The gradients of a rank's slots, summed over the slots in flat order: int64 fixed point or float.
class GradientAccumulator {
 public:
  /// `padded` >= layout.total(); the elements beyond stay 0. The layout must outlive the accumulator.
  GradientAccumulator(const FlatLayout& layout, std::int64_t padded, GradientReduce reduce,
                      torch::Device device);

  /// One slot's gradients of the summed token loss, in layout order; an undefined tensor counts as zeros.
  /// Throws for a wrong number or shape.
  void add(std::span<const torch::Tensor> gradients);
  void clear();

  const torch::Tensor& sums() const { return sums_; }  ///< [padded] int64 or float, on the device
  /// Copy [3] int64 on the device of what the slots since clear() reported (fields of FixedPointStatus, which
  /// add up over ranks).
  torch::Tensor status() const { return status_.clone(); }
  static FixedPointStatus read_status(const torch::Tensor& status);

 private:
  void check(std::span<const torch::Tensor> gradients) const;
  void add_exact_on_cpu(std::span<const torch::Tensor> gradients);
  void add_exact_on_device(std::span<const torch::Tensor> gradients);

  const FlatLayout& layout_;
  GradientReduce reduce_;
  torch::Tensor sums_;
  torch::Tensor status_;
};

}  // namespace ranktune
