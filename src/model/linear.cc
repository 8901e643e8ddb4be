#include "model/linear.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <torch/utils.h>

#include "base/random.h"
#include "model/kernels/product.h"

namespace ranktune {
namespace {

/// Zero with probability p, else 1/(1-p). Drawn from a seed of its own, so that the mask does not depend on
/// what was drawn before; on a GPU by the GPU, as the numbers are far more than what can be brought there.
torch::Tensor dropout_mask(const torch::Tensor& like, double p, std::uint64_t seed) {
  if (like.is_cuda()) {
    at::Generator generator =
        at::globalContext().getAcceleratorHooksInterface(at::kCUDA).getNewGenerator(like.device().index());
    generator.set_current_seed(seed);
    return torch::empty(like.sizes(), like.options().requires_grad(false))
        .bernoulli_(1.0 - p, generator)
        .div_(1.0 - p);
  }
  auto generator = at::detail::createCPUGenerator(seed);
  torch::Tensor mask =
      torch::empty(like.sizes(), torch::kFloat32).bernoulli_(1.0 - p, generator).div_(1.0 - p);
  return mask.to(like.options());
}

/// The factor of each row of W + scale * B A, in the type of `x`. The lengths are held constant in the
/// gradient (Liu et al. 2024, section 4.3).
torch::Tensor magnitude_factor(const Linear& linear, const torch::Tensor& x) {
  LoraUpdate& lora = *linear.lora;
  LoraUpdate::RowLengths& known = lora.row_lengths;
  const torch::Tensor &weight = linear.weight->value, &a = lora.a->value, &b = lora.b->value;
  if (!known.weight.is_same(weight) || !known.a.is_same(a) || !known.b.is_same(b))
    known = {weight, a, b, row_lengths(linear)};
  return (lora.magnitude->value.to(torch::kFloat32) / known.values).to(x.scalar_type());
}

torch::Tensor fp32_rows(const ParameterPtr& parameter, std::int64_t first, std::int64_t count) {
  return parameter->value.narrow(0, first, count).to(torch::kFloat32);
}

/// Rows of W + scale * B A, in fp32.
torch::Tensor updated_rows(const Linear& linear, std::int64_t first, std::int64_t count) {
  const LoraUpdate& lora = *linear.lora;
  const torch::Tensor update =
      torch::matmul(fp32_rows(lora.b, first, count), lora.a->value.to(torch::kFloat32));
  return fp32_rows(linear.weight, first, count) + update * lora.scale;
}

}  // namespace

torch::Tensor Linear::forward(const torch::Tensor& x, const ForwardMode& mode) const {
  const torch::Tensor shift = bias ? bias->seen(mode.use_adapter) : torch::Tensor();
  if (!lora || !mode.use_adapter) return linear_product(x, weight->seen(mode.use_adapter), shift);
  const bool drop = mode.training && lora->dropout > 0;
  torch::Tensor input = x;
  if (drop) input = x * dropout_mask(x, lora->dropout, mix_seed(mode.dropout_seed, lora->site));
  const torch::Tensor update = linear_product(linear_product(input, lora->a->value), lora->b->value);
  if (!lora->magnitude) return linear_product(x, weight->value, shift).add_(update, lora->scale);
  const torch::Tensor factor = magnitude_factor(*this, x);
  if (!drop) {
    const torch::Tensor y = linear_product(x, weight->value).add_(update, lora->scale) * factor;
    return shift.defined() ? y + shift : y;
  }
  // PEFT drops inputs of the whole change, the part of it that comes from rescaling W too.
  return linear_product(x, weight->value, shift) + (factor - 1) * linear_product(input, weight->value) +
         factor * lora->scale * update;
}

torch::Tensor merged_rows(const Linear& linear, std::int64_t first, std::int64_t count) {
  const torch::NoGradGuard no_grad;
  torch::Tensor rows = updated_rows(linear, first, count);
  if (const ParameterPtr& magnitude = linear.lora->magnitude)
    rows *= (fp32_rows(magnitude, first, count) / torch::linalg_vector_norm(rows, 2, 1)).unsqueeze(1);
  return rows;
}

torch::Tensor row_lengths(const Linear& linear) {
  const torch::NoGradGuard no_grad;
  return torch::linalg_vector_norm(updated_rows(linear, 0, linear.out_features()), 2, 1);
}

}  // namespace ranktune
