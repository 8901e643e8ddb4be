#include "model/kernels/product.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/functional/linear.h>
#include <torch/utils.h>

#include <algorithm>

namespace ranktune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
namespace F = torch::nn::functional;

/// Whether this CPU has what LibTorch's products (oneDNN's) of the type need.
bool multiplies(torch::ScalarType dtype) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const bool bf16 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  static const bool fp16 = bf16 && __builtin_cpu_supports("avx512fp16");
  if (dtype == torch::kBFloat16) return bf16;
  if (dtype == torch::kFloat16) return fp16;
#else
  static_cast<void>(dtype);
#endif
  return true;
}

torch::Tensor wide(const torch::Tensor& narrow) { return narrow.to(torch::kFloat32); }

/// Part of a matrix in fp32, in memory that the next part on this thread is put into: an output head in fp32
/// would be larger than all that a step has in memory otherwise, and memory taken and given back for each
/// product would leave the heap in pieces.
class WideRows {
 public:
  explicit WideRows(const torch::Tensor& matrix)
      : matrix_(matrix),
        at_once_(std::max<std::int64_t>(kElements / std::max<std::int64_t>(matrix.size(1), 1), 1)) {}
  std::int64_t total() const { return matrix_.size(0); }
  std::int64_t at_once() const { return std::min(at_once_, total()); }
  /// Valid until the next call on this thread.
  torch::Tensor rows(std::int64_t first, std::int64_t count) const {
    thread_local torch::Tensor buffer;
    const std::int64_t columns = matrix_.size(1), elements = std::max(kElements, columns);
    if (!buffer.defined() || buffer.numel() < elements) buffer = torch::empty({elements}, torch::kFloat32);
    torch::Tensor part = buffer.narrow(0, 0, count * columns).view({count, columns});
    return part.copy_(matrix_.narrow(0, first, count));
  }

 private:
  static constexpr std::int64_t kElements = 1 << 20;
  const torch::Tensor& matrix_;
  std::int64_t at_once_;
};

torch::Tensor wide_linear(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& shift) {
  const torch::Tensor rows = wide(x);
  const WideRows weight(w);
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return F::linear(rows, weight.rows(first, count),
                     shift.numel() > 0 ? wide(shift.narrow(0, first, count)) : torch::Tensor());
  };
  if (weight.at_once() == weight.total()) return part(0, weight.total()).to(x.scalar_type());
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.total();
  torch::Tensor y = torch::empty(sizes, x.options().requires_grad(false));
  for (std::int64_t first = 0; first < weight.total(); first += weight.at_once()) {
    const std::int64_t count = std::min(weight.at_once(), weight.total() - first);
    y.narrow(-1, first, count).copy_(part(first, count));
  }
  return y;
}

torch::Tensor wide_product(const torch::Tensor& a, const torch::Tensor& b) {
  const WideRows terms(b);
  torch::Tensor sum;
  for (std::int64_t first = 0; first < terms.total(); first += terms.at_once()) {
    const std::int64_t count = std::min(terms.at_once(), terms.total() - first);
    const torch::Tensor left = wide(a.narrow(1, first, count)), right = terms.rows(first, count);
    if (sum.defined())
      sum.addmm_(left, right);
    else
      sum = torch::mm(left, right);
  }
  return sum.to(a.scalar_type());
}

/// Keeps the narrow operands for the gradient: LibTorch's own would keep the wide copies, of frozen weights
/// too.
class WideLinear : public torch::autograd::Function<WideLinear> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& w,
                               const torch::Tensor& shift) {
    context->save_for_backward({x, w});
    return wide_linear(x, w, shift);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &w = saved[1];
    const torch::Tensor dy = gradients[0].reshape({-1, w.size(0)});
    torch::Tensor d_x, d_w, d_shift;
    if (context->needs_input_grad(0)) d_x = wide_product(dy, w).view(x.sizes());
    if (context->needs_input_grad(1)) d_w = wide_product(dy.t(), x.reshape({-1, w.size(1)}));
    if (context->needs_input_grad(2)) d_shift = dy.sum(0);
    return {d_x, d_w, d_shift};
  }
};

}  // namespace

ProductMethod product_method(const torch::Tensor& x) {
  const bool at_most_one_row = x.numel() <= x.size(-1);
  return !x.is_cpu() || at_most_one_row || multiplies(x.scalar_type()) ? ProductMethod::kNative
                                                                       : ProductMethod::kWide;
}

torch::Tensor linear_product(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& shift,
                             ProductMethod method) {
  if (method == ProductMethod::kNative) return F::linear(x, w, shift);
  // LibTorch's Function takes no undefined tensors: no shift is an empty one.
  return WideLinear::apply(x, w,
                           shift.defined() ? shift : torch::empty({0}, w.options().requires_grad(false)));
}

torch::Tensor product(const torch::Tensor& a, const torch::Tensor& b, ProductMethod method) {
  return method == ProductMethod::kNative ? torch::matmul(a, b) : wide_product(a, b);
}

}  // namespace ranktune
