#include "zero/loss_scaler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace ranktune {
namespace {

/// GradScaler's defaults.
constexpr double kGrowthFactor = 2, kBackoffFactor = 0.5;
/// Here growth ends: fp32 must hold the scale times a gradient.
constexpr double kLargestScale = 0x1p100;

bool is_power_of_two(double value) {
  int exponent = 0;
  return std::isfinite(value) && std::frexp(value, &exponent) == 0.5;
}

void require_power_of_two(double value, const char* what) {
  require(is_power_of_two(value) && value <= kLargestScale, "{} is {}, which is not a power of two", what,
          value);
}

}  // namespace

LossScaler::LossScaler(const LossScaleOptions& options) : options_(options), scale_(options.initial) {
  require_power_of_two(options.initial, "the initial loss scale");
  require_power_of_two(options.minimum, "the smallest loss scale");
  require(options.initial >= options.minimum, "a loss scale cannot start at {}, below its minimum of {}",
          options.initial, options.minimum);
  require(options.growth_interval >= 1, "a loss scale cannot grow every {} steps", options.growth_interval);
}

void LossScaler::update(bool overflow) {
  if (overflow) {
    if (!at_minimum()) scale_ *= kBackoffFactor;
    good_steps_ = 0;
  } else if (++good_steps_ >= options_.growth_interval) {
    scale_ = std::min(scale_ * kGrowthFactor, kLargestScale);
    good_steps_ = 0;
  }
}

void LossScaler::restore(double scale, std::int64_t good_steps) {
  require_power_of_two(scale, "the loss scale of the checkpoint");
  require(good_steps >= 0, "the checkpoint's loss scale has {} good steps", good_steps);
  scale_ = scale;
  good_steps_ = good_steps;
}

double sum_scale(double scale, std::int64_t supervised_tokens) {
  int exponent = 0;
  const double mantissa =
      std::frexp(static_cast<double>(std::max<std::int64_t>(supervised_tokens, 1)), &exponent);
  return std::ldexp(scale, mantissa == 0.5 ? 1 - exponent : -exponent);
}

}  // namespace ranktune
