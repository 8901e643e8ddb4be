#include "model/kernels/swiglu.h"

#include <torch/csrc/autograd/custom_function.h>

#include "model/kernels/rows.h"

namespace ranktune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class SwiGlu : public torch::autograd::Function<SwiGlu> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& gate_any,
                               const torch::Tensor& up_any) {
    const torch::Tensor gate = gate_any.contiguous(), up = up_any.contiguous();
    const std::int64_t width = gate.size(-1), rows = gate.numel() / width;
    torch::Tensor y = torch::empty_like(gate);
    for_rows(rows, [&](std::int64_t first, std::int64_t last) {
      RowReader gates(gate, width), ups(up, width);
      RowWriter out(y, width);
      std::vector<float> exponential(static_cast<std::size_t>(width));
      for (std::int64_t row = first; row < last; ++row) {
        const float *g = gates.row(row), *u = ups.row(row);
        exp_of_negative(g, exponential);
        float* result = out.row(row);
        for (std::int64_t i = 0; i < width; ++i)
          result[i] = g[i] / (1.0f + exponential[static_cast<std::size_t>(i)]) * u[i];
        out.store(row);
      }
    });
    context->save_for_backward({gate, up});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &gate = saved[0], &up = saved[1];
    const torch::Tensor dy = gradients[0].contiguous();
    const std::int64_t width = gate.size(-1), rows = gate.numel() / width;
    torch::Tensor d_gate = torch::empty_like(gate), d_up = torch::empty_like(up);
    for_rows(rows, [&](std::int64_t first, std::int64_t last) {
      RowReader gates(gate, width), ups(up, width), out_gradient(dy, width);
      RowWriter gate_out(d_gate, width), up_out(d_up, width);
      std::vector<float> exponential(static_cast<std::size_t>(width));
      for (std::int64_t row = first; row < last; ++row) {
        const float *g = gates.row(row), *u = ups.row(row), *d = out_gradient.row(row);
        exp_of_negative(g, exponential);
        float *dg = gate_out.row(row), *du = up_out.row(row);
        for (std::int64_t i = 0; i < width; ++i) {
          const float sigmoid = 1.0f / (1.0f + exponential[static_cast<std::size_t>(i)]);
          const float silu = g[i] * sigmoid;
          du[i] = d[i] * silu;
          dg[i] = d[i] * u[i] * (sigmoid + silu * (1.0f - sigmoid));
        }
        gate_out.store(row);
        up_out.store(row);
      }
    });
    return {d_gate, d_up};
  }

 private:
  static void exp_of_negative(const float* x, std::vector<float>& result) {
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = -x[i];
    exp_row(result.data(), result.data(), static_cast<std::int64_t>(result.size()));
  }
};

}  // namespace

torch::Tensor swiglu(const torch::Tensor& gate, const torch::Tensor& up) {
  return gate.is_cpu() ? SwiGlu::apply(gate, up) : torch::silu(gate) * up;
}

}  // namespace ranktune
