#include "model/kernels/rope.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
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

/// YaRN: dimensions that turn often in the first training are kept, those that turn little are stretched,
/// those between blended. `i` counts pairs.
float yarn_frequency(float frequency, std::int64_t i, const Architecture& arch) {
  const RopeScaling& scaling = arch.rope_scaling;
  const auto dims = static_cast<double>(arch.head_dim);
  const auto dim_of = [&](double rotations) {
    const double wavelength = static_cast<double>(scaling.original_positions) / rotations;
    return dims * std::log(wavelength / (2 * std::numbers::pi)) / (2 * std::log(arch.rope_theta));
  };
  double low = dim_of(scaling.beta_fast), high = dim_of(scaling.beta_slow);
  if (scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dims - 1);
  if (low == high) high += 0.001;
  const auto stretch =
      static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
  const float stretched = frequency / static_cast<float>(scaling.factor);
  return stretched * stretch + frequency * (1.0f - stretch);
}

/// The first Qwen's get_ntk_alpha: 1 up to the training length, 3 up to its double, then 7, 15, ...
double ntk_alpha(std::int64_t length, std::int64_t original) {
  const double ratio = static_cast<double>(length) / static_cast<double>(original);
  return std::max(1.0, std::exp2(std::ceil(std::log2(ratio) + 1)) - 1);
}

/// rope_theta, enlarged for the length where the model does so.
double theta_for(const Architecture& arch, const RopeSpan& span) {
  if (!depends_on_length(arch, span.length, span.training)) return arch.rope_theta;
  const RopeScaling& scaling = arch.rope_scaling;
  const auto dims = static_cast<double>(arch.head_dim);
  const double stretch = scaling.kind == RopeScaling::Kind::kQwen1
                             ? ntk_alpha(span.length, scaling.original_positions)
                             : scaling.factor * static_cast<double>(span.length) /
                                       static_cast<double>(scaling.original_positions) -
                                   (scaling.factor - 1);
  return arch.rope_theta * std::pow(stretch, dims / (dims - 2));
}

float frequency_of(std::int64_t i, double theta, const Architecture& arch) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(arch.head_dim);
  const float frequency = 1.0f / std::pow(static_cast<float>(theta), exponent);
  switch (arch.rope_scaling.kind) {
    case RopeScaling::Kind::kLinear:
      return frequency / static_cast<float>(arch.rope_scaling.factor);
    case RopeScaling::Kind::kLlama3:
      return llama3_frequency(frequency, arch.rope_scaling);
    case RopeScaling::Kind::kYarn:
      return yarn_frequency(frequency, i, arch);
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kDynamic:
    case RopeScaling::Kind::kQwen1:
      break;
  }
  return frequency;
}

}  // namespace

bool depends_on_length(const Architecture& arch, std::int64_t length, bool training) {
  const RopeScaling& scaling = arch.rope_scaling;
  if (length <= scaling.original_positions) return false;
  return scaling.kind == RopeScaling::Kind::kDynamic ||
         (scaling.kind == RopeScaling::Kind::kQwen1 && !training);
}

RopeTable make_rope_table(const Architecture& arch, const RopeSpan& span, torch::Device device) {
  const std::int64_t half = arch.head_dim / 2;
  const auto size = static_cast<float>(arch.rope_scaling.attention_factor);
  const double theta = theta_for(arch, span);
  torch::Tensor cosine = torch::empty({span.count, half}), sine = torch::empty({span.count, half});
  float *c = cosine.data_ptr<float>(), *s = sine.data_ptr<float>();
  for (std::int64_t i = 0; i < half; ++i) {
    const float frequency = frequency_of(i, theta, arch);
    for (std::int64_t t = 0; t < span.count; ++t) {
      const float angle = static_cast<float>(span.first + t) * frequency;
      c[t * half + i] = std::cos(angle) * size;
      s[t * half + i] = std::sin(angle) * size;
    }
  }
  return {cosine.to(device), sine.to(device)};
}

torch::Tensor log_n_scale(const Architecture& arch, const RopeSpan& span, torch::Device device) {
  const auto base = static_cast<double>(arch.max_positions);
  torch::Tensor scale = torch::ones({span.count, 1, 1});
  auto* values = scale.data_ptr<float>();
  for (std::int64_t t = 0; t < span.count; ++t)
    if (const auto position = static_cast<double>(span.first + t + 1); position > base)
      values[t] = static_cast<float>(std::log(position) / std::log(base));
  return scale.to(device);
}

torch::Tensor apply_rope(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine) {
  return x.is_cpu() ? Rope::apply(x, cosine, sine) : composed(x, cosine, sine);
}

}  // namespace ranktune
