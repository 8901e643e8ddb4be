#include "model/kernels/rope.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numbers>

#include "model/kernels/rows.h"

namespace ranktune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void rotate_head(const float* x, float* y, const float* c, const float* s, std::int64_t half,
                 float direction) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float sine = direction * s[i];
    y[i] = x[i] * c[i] - x[i + half] * sine;
    y[i + half] = x[i + half] * c[i] + x[i] * sine;
  }
}

/// `direction` -1 turns back, which is the transpose and so the gradient of turning forward.
torch::Tensor rotated(const torch::Tensor& x_any, const torch::Tensor& cosine, const torch::Tensor& sine,
                      float direction) {
  const torch::Tensor x = x_any.contiguous();
  const std::int64_t tokens = x.size(0), heads = x.size(1), width = x.size(2), half = width / 2;
  torch::Tensor y = torch::empty_like(x);
  const float *c = cosine.const_data_ptr<float>(), *s = sine.const_data_ptr<float>();
  for_rows(tokens, [&](std::int64_t first, std::int64_t last) {
    RowReader in(x, heads * width);
    RowWriter out(y, heads * width);
    for (std::int64_t t = first; t < last; ++t) {
      const float* values = in.row(t);
      float* result = out.row(t);
      for (std::int64_t h = 0; h < heads; ++h)
        rotate_head(values + h * width, result + h * width, c + t * half, s + t * half, half, direction);
      out.store(t);
    }
  });
  return y;
}

class Rope : public torch::autograd::Function<Rope> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& cosine,
                               const torch::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return rotated(x, cosine, sine, 1.0f);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    return {rotated(gradients[0], saved[0], saved[1], -1.0f), torch::Tensor(), torch::Tensor()};
  }
};

torch::Tensor composed(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine) {
  const torch::Tensor c = torch::cat({cosine, cosine}, -1).unsqueeze(1).to(x.scalar_type());
  const torch::Tensor s = torch::cat({sine, sine}, -1).unsqueeze(1).to(x.scalar_type());
  const auto halves = x.chunk(2, -1);
  return x * c + torch::cat({-halves[1], halves[0]}, -1) * s;
}

/// Llama 3.1: wavelengths longer than the first training are stretched, short ones kept, those between
/// blended.
float llama3_frequency(float frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / static_cast<double>(frequency);
  const double length = static_cast<double>(scaling.original_positions);
  if (wavelength < length / scaling.high_freq_factor) return frequency;
  const float stretched = frequency / static_cast<float>(scaling.factor);
  if (wavelength > length / scaling.low_freq_factor) return stretched;
  const auto smooth = static_cast<float>((length / wavelength - scaling.low_freq_factor) /
                                         (scaling.high_freq_factor - scaling.low_freq_factor));
  return (1.0f - smooth) * stretched + smooth * frequency;
}

}  // namespace

RopeTable make_rope_table(const Architecture& arch, std::int64_t length, torch::Device device) {
  const std::int64_t half = arch.head_dim / 2;
  torch::Tensor cosine = torch::empty({length, half}), sine = torch::empty({length, half});
  float *c = cosine.data_ptr<float>(), *s = sine.data_ptr<float>();
  for (std::int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(arch.head_dim);
    float frequency = 1.0f / std::pow(static_cast<float>(arch.rope_theta), exponent);
    if (arch.rope_scaling.kind == RopeScaling::Kind::kLinear)
      frequency /= static_cast<float>(arch.rope_scaling.factor);
    else if (arch.rope_scaling.kind == RopeScaling::Kind::kLlama3)
      frequency = llama3_frequency(frequency, arch.rope_scaling);
    for (std::int64_t t = 0; t < length; ++t) {
      const float angle = static_cast<float>(t) * frequency;
      c[t * half + i] = std::cos(angle);
      s[t * half + i] = std::sin(angle);
    }
  }
  return {cosine.to(device), sine.to(device)};
}

torch::Tensor apply_rope(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine) {
  return x.is_cpu() ? Rope::apply(x, cosine, sine) : composed(x, cosine, sine);
}

}  // namespace ranktune
