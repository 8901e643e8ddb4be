#include "model/kernels/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "model/kernels/rows.h"

namespace ranktune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The composition of LibTorch's operations, for devices without a kernel of ours.
torch::Tensor composed(const torch::Tensor& x, const torch::Tensor& weight, double eps) {
  const torch::Tensor wide = x.to(torch::kFloat32);
  const torch::Tensor scale = torch::rsqrt(wide.square().mean(-1, true) + eps);
  return weight * (wide * scale).to(x.scalar_type());
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x_any,
                               const torch::Tensor& weight, double eps) {
    const torch::Tensor x = x_any.contiguous();
    const std::int64_t width = x.size(-1), rows = x.numel() / width;
    torch::Tensor y = torch::empty_like(x);
    torch::Tensor inverse = torch::empty({rows}, x.options().dtype(torch::kFloat32));
    const torch::Tensor wide_weight = weight.to(torch::kFloat32).contiguous();
    const float* w = wide_weight.const_data_ptr<float>();
    float* inverse_rms = inverse.data_ptr<float>();
    for_rows(rows, [&](std::int64_t first, std::int64_t last) {
      RowReader in(x, width);
      RowWriter out(y, width);
      for (std::int64_t row = first; row < last; ++row) {
        const float* values = in.row(row);
        const float mean = square_sum(values, width) / static_cast<float>(width);
        const float scale = 1.0f / std::sqrt(mean + static_cast<float>(eps));
        inverse_rms[row] = scale;
        float* result = out.row(row);
        for (std::int64_t i = 0; i < width; ++i) result[i] = values[i] * scale * w[i];
        out.store(row);
      }
    });
    context->save_for_backward({x, weight, inverse});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const torch::Tensor dy = gradients[0].contiguous();
    const std::int64_t width = x.size(-1), rows = x.numel() / width;
    torch::Tensor dx;
    if (context->needs_input_grad(0)) {
      dx = torch::empty_like(x);
      input_gradient(x, dy, weight.to(torch::kFloat32).contiguous(), inverse, dx);
    }
    torch::Tensor dw;
    if (context->needs_input_grad(1)) {
      const torch::Tensor normal = x.reshape({rows, width}).to(torch::kFloat32) * inverse.unsqueeze(1);
      dw = (dy.reshape({rows, width}).to(torch::kFloat32) * normal).sum(0).to(weight.scalar_type());
    }
    return {dx, dw, torch::Tensor()};
  }

 private:
  /// With n = x/rms and g = dy*w: dx = (g - n * mean(g*n)) / rms.
  static void input_gradient(const torch::Tensor& x, const torch::Tensor& dy, const torch::Tensor& weight,
                             const torch::Tensor& inverse, torch::Tensor& dx) {
    const std::int64_t width = x.size(-1), rows = x.numel() / width;
    const float* w = weight.const_data_ptr<float>();
    const float* inverse_rms = inverse.const_data_ptr<float>();
    for_rows(rows, [&](std::int64_t first, std::int64_t last) {
      RowReader in(x, width), out_gradient(dy, width);
      RowWriter result(dx, width);
      std::vector<float> weighted(static_cast<std::size_t>(width));
      for (std::int64_t row = first; row < last; ++row) {
        const float* values = in.row(row);
        const float* g = out_gradient.row(row);
        for (std::int64_t i = 0; i < width; ++i) weighted[static_cast<std::size_t>(i)] = g[i] * w[i];
        const float scale = inverse_rms[row];
        const float projection =
            dot(weighted.data(), values, width) * scale * scale / static_cast<float>(width);
        float* target = result.row(row);
        for (std::int64_t i = 0; i < width; ++i)
          target[i] = (weighted[static_cast<std::size_t>(i)] - values[i] * projection) * scale;
        result.store(row);
      }
    });
  }
};

}  // namespace

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps) {
  return x.is_cpu() ? RmsNorm::apply(x, weight, eps) : composed(x, weight, eps);
}

}  // namespace ranktune
