#pragma once

#include <cstdint>
#include <span>

#include "zero/zero_options.h"

namespace ranktune {

/// The scalars of one AdamW update (Loshchilov and Hutter 2019), rounded to float where torch.optim.AdamW
/// does it.
struct AdamWStep {
  /// `update` counts from 1; `lr` replaces options.lr; without `decay` the weight decay is 0.
  AdamWStep(const AdamWOptions& options, std::int64_t update, double lr, bool decay);

  float keep;         ///< 1 - lr * weight_decay
  float first;        ///< 1 - beta1
  float second_keep;  ///< beta2
  float second;       ///< 1 - beta2
  float step_size;    ///< lr / (1 - beta1^update)
  float second_root;  ///< sqrt(1 - beta2^update)
  float eps;
  bool first_is_half;  ///< 1 - beta1 >= 0.5: torch's lerp then starts from the other end
};

/// Spans of equal length over the same elements.
struct AdamWState {
  std::span<float> parameter;
  std::span<float> exp_avg;
  std::span<float> exp_avg_sq;
};

/// Updates the state with gradient * clip. Each element depends on its own values alone and is computed in a
/// fixed order of correctly rounded operations.
void adamw_update(const AdamWStep& step, const AdamWState& state, std::span<const float> gradient,
                  float clip);

}  // namespace ranktune
