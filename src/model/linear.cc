#include "model/linear.h"

#include <ATen/CPUGeneratorImpl.h>

#include "base/random.h"

namespace ranktune {
namespace {

/// Zero with probability p, else 1/(1-p). Drawn on the CPU from a seed of its own, so that the mask is the
/// same on every device and does not depend on what was drawn before.
torch::Tensor dropout_mask(const torch::Tensor& like, double p, std::uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  torch::Tensor mask =
      torch::empty(like.sizes(), torch::kFloat32).bernoulli_(1.0 - p, generator).div_(1.0 - p);
  return mask.to(like.options());
}

}  // namespace

torch::Tensor Linear::forward(const torch::Tensor& x, const ForwardMode& mode) const {
  torch::Tensor y = torch::nn::functional::linear(x, weight->value, bias ? bias->value : torch::Tensor());
  if (!lora || !mode.use_adapter) return y;
  torch::Tensor input = x;
  if (mode.training && lora->dropout > 0)
    input = x * dropout_mask(x, lora->dropout, mix_seed(mode.dropout_seed, lora->site));
  const torch::Tensor low = torch::nn::functional::linear(input, lora->a->value);
  return y.add_(torch::nn::functional::linear(low, lora->b->value), lora->scale);
}

}  // namespace ranktune
