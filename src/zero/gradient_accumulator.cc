#include "zero/gradient_accumulator.h"

#include <torch/utils.h>

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
  slots_ = 0;
  bad_slots_.clear();
  status_of_slots_.clear();
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

void GradientAccumulator::add(std::span<const torch::Tensor> gradients, double scale) {
  const torch::NoGradGuard no_grad;
  check(gradients);
  if (sums_.is_cpu())
    add_on_cpu(gradients, scale);
  else
    add_on_device(gradients, scale);
  ++slots_;
}

std::vector<BadSlot> GradientAccumulator::bad_slots() const {
  std::vector<BadSlot> bad = bad_slots_;
  for (std::size_t i = 0; i < status_of_slots_.size(); ++i) {
    const FixedPointStatus status = read_status(status_of_slots_[i]);
    if (status.non_finite + status.saturated > 0)
      bad.push_back({.ordinal = static_cast<std::int64_t>(i), .finite = status.non_finite == 0});
  }
  return bad;
}

void GradientAccumulator::add_on_cpu(std::span<const torch::Tensor> gradients, double scale) {
  const bool exact = reduce_ == GradientReduce::kExact;
  auto* sums = sums_.data_ptr();
  Magnitude largest;
  BadSlot bad{.ordinal = slots_, .finite = true};
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const int index = static_cast<int>(i);
    torch::Tensor gradient = gradients[i].to(torch::kCPU, torch::kFloat32).contiguous();
    if (scale != 1.0) gradient = gradient / scale;
    const std::span values(gradient.const_data_ptr<float>(), static_cast<std::size_t>(gradient.numel()));
    Magnitude here;
    if (exact) {
      here =
          add_fixed_point(values, {static_cast<std::int64_t*>(sums) + layout_.offset(index), values.size()});
    } else {
      here = Magnitude::of(values);
      sums_.narrow(0, layout_.offset(index), layout_.numel(index)).add_(gradient.view({-1}));
    }
    largest.include(here);
    const bool too_large = exact && here.status().saturated > 0;
    if ((!here.finite() && bad.finite) || (too_large && bad.parameter < 0))
      bad.parameter = index, bad.finite = here.finite();
  }
  if (bad.parameter >= 0) bad_slots_.push_back(bad);
  FixedPointStatus status = largest.status();
  if (!exact) status = {.non_finite = status.non_finite};
  status_.add_(status_tensor(status));
}

void GradientAccumulator::add_on_device(std::span<const torch::Tensor> gradients, double scale) {
  const bool exact = reduce_ == GradientReduce::kExact;
  std::vector<torch::Tensor> group;
  std::vector<torch::Tensor> largest;
  std::int64_t begin = 0;
  std::int64_t elements = 0;
  const auto convert_group = [&] {
    if (group.empty()) return;
    torch::Tensor flat = torch::cat(group);
    if (scale != 1.0) flat.div_(scale);
    largest.push_back(flat.abs().max());
    // round() takes halves to even, as the CPU does.
    if (exact) flat = (flat.to(torch::kFloat64) * kFixedPointScale).round_().to(torch::kInt64);
    sums_.narrow(0, begin, elements).add_(flat);
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
  if (largest.empty()) largest.push_back(torch::zeros({}, status_.options().dtype(torch::kFloat32)));
  torch::Tensor status = status_on_device(torch::stack(largest).max());
  if (!exact) status.narrow(0, 0, 2).zero_();
  status_of_slots_.push_back(status);
  status_.add_(status);
}

}  // namespace ranktune
