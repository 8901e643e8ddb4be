#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "zero/flat_layout.h"
#include "zero/gradient_accumulator.h"
#include "zero/optimizer_snapshot.h"
#include "zero/zero_options.h"

namespace ranktune {

struct Zero2Setup {
  FlatLayout layout;
  ZeroOptions zero;
  AdamWOptions adamw;
  torch::Device device = torch::kCPU;
  torch::ScalarType working_dtype = torch::kFloat32;  ///< fp32, bf16 or fp16: what forward and backward see
};

/// What a step did. The same on every rank.
struct StepResult {
  double grad_norm =
      0.0;  ///< L2 norm of the mean gradient, before clipping; NaN or Inf where !finite or saturated
  bool skipped = false;         ///< parameters and state are as before the step
  bool no_tokens = false;       ///< skipped because there was nothing to learn from
  bool finite = true;           ///< false: skipped because of NaN or Inf in a gradient
  std::int64_t saturated = 0;   ///< slots (at least 1 for their sum) too large for fixed point; > 0: skipped
  std::int64_t non_finite = 0;  ///< slots with NaN or Inf

  /// Skipped although there was something to learn: NaN, infinity or too large.
  bool overflow() const { return skipped && !no_tokens; }
};

/// ZeRO stage 2: every rank holds all working parameters; fp32 master, moments and the reduced gradient only
/// of the part it owns. Slots are accumulated locally; step() does one reduce-scatter, clips by the global
/// norm, runs AdamW on the owned part and gathers the new parameters.
///
/// With GradientReduce::kExact every result is bit-identical for any rank count and any division of the
/// slots. All ranks must call set_parameters, step, load and gather_parameters together; the rest is local.
/// The communicator must serve memory of `device` and outlive the optimizer.
class Zero2Optimizer {
 public:
  Zero2Optimizer(Zero2Setup setup, Communicator& communicator);
  Zero2Optimizer(const Zero2Optimizer&) = delete;  // parts of it refer to each other
  Zero2Optimizer& operator=(const Zero2Optimizer&) = delete;

  const FlatLayout& layout() const { return layout_; }
  const Partition& partition() const { return partition_; }
  FlatRange owned() const { return owned_; }

  /// View [shape] of the working copy, without gradient; step() changes it in place.
  torch::Tensor parameter(int index) const;

  /// Initialises all parameters from full tensors in layout order, on any device and of any float dtype; the
  /// values must be the same on all ranks. Moments and update count are left alone.
  void set_parameters(std::span<const torch::Tensor> values);

  /// Adds one slot's gradients of `scale` (a power of two) times the summed token loss; layout order, an
  /// undefined tensor counts as zeros.
  void accumulate(std::span<const torch::Tensor> gradients, double scale = 1.0);
  /// Forgets what was accumulated since the last step, but for its bad_slots().
  void discard_gradients();

  /// One update with the gradients accumulated on all ranks, divided by `supervised_tokens` (of all ranks
  /// together). `lr` is this step's rate, to which lr_scale of the parameters is applied.
  StepResult step(std::int64_t supervised_tokens, double lr);

  /// This rank's bad slots of the last step where it was an overflow, or was discarded; their ordinals count
  /// its calls of accumulate().
  const std::vector<BadSlot>& bad_slots() const { return bad_slots_; }

  std::int64_t updates() const { return updates_; }
  /// Host copy of the owned part.
  OptimizerSnapshot snapshot() const;
  /// The inverse; the snapshot's range must be owned(). Where the master is distinct the parameters are set
  /// from it, else the caller sets them with set_parameters.
  void load(const OptimizerSnapshot& snapshot);

  bool has_distinct_master() const { return working_.scalar_type() != torch::kFloat32; }
  /// Bytes of this rank's partitioned state: master (where distinct), moments and reduced gradient. Falls as
  /// 1/N.
  std::int64_t state_bytes() const;
  /// Bytes of what every rank holds whole: the working copy and the gradient accumulator.
  std::int64_t replicated_bytes() const;

 private:
  bool reduce_gradients(std::int64_t supervised_tokens, StepResult& result);
  double global_norm();
  void update(double lr, float clip);
  void gather_parameters();

  FlatLayout layout_;
  ZeroOptions zero_;
  AdamWOptions adamw_;
  Communicator& communicator_;
  Partition partition_;
  FlatRange owned_;
  GradientAccumulator accumulator_;
  std::int64_t updates_ = 0;
  std::vector<BadSlot> bad_slots_;

  torch::Tensor working_;     // [padded], working dtype
  torch::Tensor reduced_;     // [per_rank], dtype of the accumulator
  torch::Tensor gradient_;    // [per_rank] float, mean gradient of the owned part
  torch::Tensor master_;      // [per_rank] float; a view of working_ where that is fp32
  torch::Tensor exp_avg_;     // [per_rank] float
  torch::Tensor exp_avg_sq_;  // [per_rank] float
};

}  // namespace ranktune
