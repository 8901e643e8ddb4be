#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "zero/fixed_point.h"
#include "zero/flat_layout.h"
#include "zero/zero_options.h"

namespace ranktune {

/// A slot whose gradients must not be used.
struct BadSlot {
  std::int64_t ordinal = 0;  ///< which of this rank's slots since clear(), from 0
  int parameter = -1;        ///< the first it was found in, by layout order; -1 where that is not known (GPU)
  bool finite = false;       ///< false: NaN or infinity; true: too large for fixed point
};

/// The gradients of a rank's slots, summed over the slots in flat order: int64 fixed point or float.
class GradientAccumulator {
 public:
  /// `padded` >= layout.total(); the elements beyond stay 0. The layout must outlive the accumulator.
  GradientAccumulator(const FlatLayout& layout, std::int64_t padded, GradientReduce reduce,
                      torch::Device device);

  /// One slot's gradients of `scale` times the summed token loss, in layout order; an undefined tensor counts
  /// as zeros. They are divided by the scale, a power of two, before anything is rounded. Throws for a wrong
  /// number or shape.
  void add(std::span<const torch::Tensor> gradients, double scale = 1.0);
  void clear();

  const torch::Tensor& sums() const { return sums_; }  ///< [padded] int64 or float, on the device
  /// Copy [3] int64 on the device of what the slots since clear() reported (fields of FixedPointStatus, which
  /// add up over ranks).
  torch::Tensor status() const { return status_.clone(); }
  static FixedPointStatus read_status(const torch::Tensor& status);
  /// Those among the slots since clear(). On a GPU this waits for it.
  std::vector<BadSlot> bad_slots() const;

 private:
  void check(std::span<const torch::Tensor> gradients) const;
  void add_on_cpu(std::span<const torch::Tensor> gradients, double scale);
  void add_on_device(std::span<const torch::Tensor> gradients, double scale);

  const FlatLayout& layout_;
  GradientReduce reduce_;
  torch::Tensor sums_;
  torch::Tensor status_;
  std::int64_t slots_ = 0;
  std::vector<BadSlot> bad_slots_;              // on the CPU
  std::vector<torch::Tensor> status_of_slots_;  // on a GPU, where looking at them would wait
};

}  // namespace ranktune
