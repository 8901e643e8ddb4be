#include "zero/adamw.h"

#include <cmath>
#include <cstddef>

#include "base/error.h"

namespace ranktune {

AdamWStep::AdamWStep(const AdamWOptions& options, std::int64_t update, double lr, bool decay) {
  require(update >= 1, "AdamW counts its updates from 1, not {}", update);
  const auto count = static_cast<double>(update);
  keep = static_cast<float>(decay ? 1.0 - lr * options.weight_decay : 1.0);
  first = static_cast<float>(1.0 - options.beta1);
  second_keep = static_cast<float>(options.beta2);
  second = static_cast<float>(1.0 - options.beta2);
  step_size = static_cast<float>(lr / (1.0 - std::pow(options.beta1, count)));
  second_root = static_cast<float>(std::sqrt(1.0 - std::pow(options.beta2, count)));
  eps = static_cast<float>(options.eps);
  first_is_half = first >= 0.5F;
}

namespace {

template <bool kFirstIsHalf>
void update(const AdamWStep& given, const AdamWState& state, const float* __restrict gradient, float clip) {
  const AdamWStep step = given;
  float* __restrict parameter = state.parameter.data();
  float* __restrict exp_avg = state.exp_avg.data();
  float* __restrict exp_avg_sq = state.exp_avg_sq.data();
  const std::size_t count = state.parameter.size();
  for (std::size_t i = 0; i < count; ++i) {
    const float g = gradient[i] * clip;
    const float m = kFirstIsHalf ? g - (g - exp_avg[i]) * (1.0F - step.first)
                                 : exp_avg[i] + step.first * (g - exp_avg[i]);
    const float v = exp_avg_sq[i] * step.second_keep + step.second * g * g;
    const float denominator = std::sqrt(v) / step.second_root + step.eps;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    parameter[i] = parameter[i] * step.keep - step.step_size * m / denominator;
  }
}

}  // namespace

void adamw_update(const AdamWStep& step, const AdamWState& state, std::span<const float> gradient,
                  float clip) {
  const std::size_t count = state.parameter.size();
  require(state.exp_avg.size() == count && state.exp_avg_sq.size() == count && gradient.size() == count,
          "AdamW spans differ in length: {} parameters, {} and {} moments, {} gradients", count,
          state.exp_avg.size(), state.exp_avg_sq.size(), gradient.size());
  if (step.first_is_half) {
    update<true>(step, state, gradient.data(), clip);
  } else {
    update<false>(step, state, gradient.data(), clip);
  }
}

}  // namespace ranktune
