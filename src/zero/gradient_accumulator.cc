#include "zero/gradient_accumulator.h"

#include <vector>

#include "base/error.h"

namespace ranktune {
namespace {

/// Elements that the device path converts at a time: bounds its temporaries, amortises its kernel starts.
constexpr std::int64_t kGroupElements = std::int64_t{1} << 24;

torch::Tensor status_tensor(const FixedPointStatus& status) {
  return torch::tensor({status.bound, status.saturated, status.non_finite}, torch::kInt64);
}

/// Magnitude::status() without waiting for the device.
torch::Tensor status_on_device(const torch::Tensor& largest) {
  const torch::Tensor finite = largest.isfinite();
  const torch::Tensor fits = finite.logical_and(largest < kFixedPointLimit);
  const torch::Tensor bound = torch::where(fits, (largest.to(torch::kFloat64) * 0x1p20).floor() + 1.0, 0.0);
  return torch::stack({bound.to(torch::kInt64), finite.logical_and(fits.logical_not()).to(torch::kInt64),
                       finite.logical_not().to(torch::kInt64)});
}

}  // namespace

GradientAccumulator::GradientAccumulator(const FlatLayout& layout, std::int64_t padded, GradientReduce reduce,
                                         torch::Device device)
    : layout_(layout), reduce_(reduce) {
  require(padded >= layout.total(), "{} elements do not hold {}", padded, layout.total());
  const auto dtype = reduce == GradientReduce::kExact ? torch::kInt64 : torch::kFloat32;
  sums_ = torch::zeros({padded}, torch::TensorOptions().dtype(dtype).device(device));
  status_ = torch::zeros({3}, torch::TensorOptions().dtype(torch::kInt64).device(device));
}

void GradientAccumulator::clear() {
  sums_.zero_();
  status_.zero_();
}

FixedPointStatus GradientAccumulator::read_status(const torch::Tensor& status) {
  const torch::Tensor host = status.to(torch::kCPU);
  const auto* field = host.const_data_ptr<std::int64_t>();
  return {.bound = field[0], .saturated = field[1], .non_finite = field[2]};
}

void GradientAccumulator::check(std::span<const torch::Tensor> gradients) const {
  require(gradients.size() == layout_.specs().size(), "{} gradients do not fit the {} trained parameters",
          gradients.size(), layout_.specs().size());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const ParameterSpec& spec = layout_.specs()[i];
    require(!gradients[i].defined() || gradients[i].sizes() == torch::IntArrayRef(spec.shape),
            "parameter {}: its gradient has another shape", spec.name);
  }
}

void GradientAccumulator::add(std::span<const torch::Tensor> gradients) {
  const torch::NoGradGuard no_grad;
  check(gradients);
  if (reduce_ == GradientReduce::kExact) {
    if (sums_.is_cpu()) {
      add_exact_on_cpu(gradients);
    } else {
      add_exact_on_device(gradients);
    }
    return;
  }
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const int index = static_cast<int>(i);
    sums_.narrow(0, layout_.offset(index), layout_.numel(index))
        .add_(gradients[i].reshape({-1}).to(sums_.device(), torch::kFloat32));
  }
}

void GradientAccumulator::add_exact_on_cpu(std::span<const torch::Tensor> gradients) {
  auto* sums = sums_.data_ptr<std::int64_t>();
  Magnitude largest;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const torch::Tensor gradient = gradients[i].to(torch::kCPU, torch::kFloat32).contiguous();
    const auto count = static_cast<std::size_t>(gradient.numel());
    largest.include(add_fixed_point({gradient.const_data_ptr<float>(), count},
                                    {sums + layout_.offset(static_cast<int>(i)), count}));
  }
  status_.add_(status_tensor(largest.status()));
}

void GradientAccumulator::add_exact_on_device(std::span<const torch::Tensor> gradients) {
  std::vector<torch::Tensor> group;
  std::vector<torch::Tensor> largest;
  std::int64_t begin = 0;
  std::int64_t elements = 0;
  const auto convert_group = [&] {
    if (group.empty()) return;
    const torch::Tensor flat = torch::cat(group);
    largest.push_back(flat.abs().max());
    // round() takes halves to even, as the CPU does.
    const torch::Tensor units = (flat.to(torch::kFloat64) * kFixedPointScale).round_().to(torch::kInt64);
    sums_.narrow(0, begin, elements).add_(units);
    group.clear();
    elements = 0;
  };
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const int index = static_cast<int>(i);
    const bool joins = gradients[i].defined() && elements + layout_.numel(index) <= kGroupElements;
    if (!joins) convert_group();
    if (!gradients[i].defined()) continue;
    if (group.empty()) begin = layout_.offset(index);
    group.push_back(gradients[i].reshape({-1}).to(sums_.device(), torch::kFloat32));
    elements += layout_.numel(index);
  }
  convert_group();
  if (!largest.empty()) status_.add_(status_on_device(torch::stack(largest).max()));
}

}  // namespace ranktune
