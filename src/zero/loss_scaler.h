#pragma once

#include <cstdint>

namespace ranktune {

/// Defaults are torch.amp.GradScaler's, the minimum is DeepSpeed's. Scales are powers of two, so that scaling
/// and unscaling are exact.
struct LossScaleOptions {
  double initial = 65536;
  std::int64_t growth_interval = 2000;  ///< steps in a row without overflow after which the scale doubles
  double minimum = 1;
};

/// The dynamic scale of fp16 training (Micikevicius et al. 2018): the loss is multiplied by it, so that small
/// gradients do not vanish. GradScaler's rule: an overflow halves the scale, growth_interval steps without
/// one double it. Pure: every rank has one and updates it with the step's common verdict.
class LossScaler {
 public:
  /// Throws for a scale that is no power of two, an initial one below the minimum, or an interval below 1.
  explicit LossScaler(const LossScaleOptions& options);

  double scale() const { return scale_; }
  /// Steps without overflow since the scale last changed (GradScaler's _growth_tracker).
  std::int64_t good_steps() const { return good_steps_; }
  bool at_minimum() const { return scale_ <= options_.minimum; }

  /// After every step. An overflow makes the scale smaller, but not below the minimum.
  void update(bool overflow);
  /// The state of a checkpoint; throws for a scale that is no power of two, or a negative count.
  void restore(double scale, std::int64_t good_steps);

 private:
  LossScaleOptions options_;
  double scale_;
  std::int64_t good_steps_ = 0;
};

/// What the summed loss of a step of so many supervised tokens is multiplied by when the mean loss is to have
/// `scale`: scale / tokens, rounded down to a power of two.
double sum_scale(double scale, std::int64_t supervised_tokens);

}  // namespace ranktune
