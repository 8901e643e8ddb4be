#include "zero/zero2_optimizer.h"

#include <torch/utils.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "tensor/buffer_of.h"
#include "zero/adamw.h"
#include "zero/fixed_point.h"
#include "zero/grad_norm.h"
#include "zero/gradient_accumulator.h"

namespace ranktune {
namespace {

std::span<float> floats(const torch::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

std::span<double> doubles(const torch::Tensor& tensor) {
  return {tensor.data_ptr<double>(), static_cast<std::size_t>(tensor.numel())};
}

/// block_square_sums() in LibTorch's operations: the same operands in the same order.
torch::Tensor block_square_sums_on_device(const torch::Tensor& values) {
  torch::Tensor sums = values.view({-1, kBlock}).to(torch::kFloat64).square_();
  for (std::int64_t half = kBlock / 2; half >= 1; half /= 2)
    sums = sums.slice(1, 0, half) + sums.slice(1, half, 2 * half);
  return sums.reshape({-1});
}

/// adamw_update() in LibTorch's operations.
void adamw_update_on_device(const AdamWStep& step, const std::array<torch::Tensor, 3>& state,
                            const torch::Tensor& gradient) {
  const auto& [parameter, exp_avg, exp_avg_sq] = state;
  parameter.mul_(step.keep);
  exp_avg.lerp_(gradient, step.first);
  exp_avg_sq.mul_(step.second_keep).addcmul_(gradient, gradient, step.second);
  const torch::Tensor denominator = exp_avg_sq.sqrt().div_(step.second_root).add_(step.eps);
  parameter.addcdiv_(exp_avg, denominator, -step.step_size);
}

std::vector<float> host_copy(const torch::Tensor& owned) {
  const torch::Tensor host = owned.to(torch::kCPU).contiguous();
  const std::span<float> values = floats(host);
  return {values.begin(), values.end()};
}

void copy_from_host(const torch::Tensor& owned, const std::vector<float>& values, const char* what) {
  require(values.size() == static_cast<std::size_t>(owned.numel()),
          "optimizer state: {} holds {} values, {} are owned by this rank", what, values.size(),
          owned.numel());
  owned.copy_(torch::from_blob(const_cast<float*>(values.data()), {owned.numel()}, torch::kFloat32));
}

}  // namespace

Zero2Optimizer::Zero2Optimizer(Zero2Setup setup, Communicator& communicator)
    : layout_(std::move(setup.layout)),
      zero_(setup.zero),
      adamw_(setup.adamw),
      communicator_(communicator),
      partition_(communicator.size(), layout_.total()),
      owned_(partition_.range(communicator.rank())),
      accumulator_(layout_, partition_.padded(), setup.zero.reduce, setup.device) {
  require(zero_.stage == 2,
          "zero.stage = {} is not offered: gradients and optimizer state are always partitioned (2)",
          zero_.stage);
  const torch::ScalarType dtype = setup.working_dtype;
  require(dtype == torch::kFloat32 || dtype == torch::kBFloat16 || dtype == torch::kFloat16,
          "parameters cannot be trained as {}; use float32, bfloat16 or float16", c10::toString(dtype));
  const auto options = torch::TensorOptions().device(setup.device).dtype(torch::kFloat32);
  const std::int64_t per_rank = partition_.per_rank();
  working_ = torch::zeros({partition_.padded()}, options.dtype(dtype));
  reduced_ = torch::zeros({per_rank}, accumulator_.sums().options());
  gradient_ = torch::zeros({per_rank}, options);
  master_ = has_distinct_master() ? torch::zeros({per_rank}, options)
                                  : working_.narrow(0, per_rank * communicator.rank(), per_rank);
  exp_avg_ = torch::zeros({per_rank}, options);
  exp_avg_sq_ = torch::zeros({per_rank}, options);
}

torch::Tensor Zero2Optimizer::parameter(int index) const {
  const auto& spec = layout_.specs().at(static_cast<std::size_t>(index));
  return working_.narrow(0, layout_.offset(index), layout_.numel(index)).view(spec.shape);
}

void Zero2Optimizer::set_parameters(std::span<const torch::Tensor> values) {
  const torch::NoGradGuard no_grad;
  require(values.size() == layout_.specs().size(), "{} tensors do not fit the {} trained parameters",
          values.size(), layout_.specs().size());
  for (int i = 0; i < layout_.count(); ++i) {
    const torch::Tensor& value = values[static_cast<std::size_t>(i)];
    const ParameterSpec& spec = layout_.specs()[static_cast<std::size_t>(i)];
    require(value.defined() && value.sizes() == torch::IntArrayRef(spec.shape),
            "parameter {}: the value given has another shape", spec.name);
    const torch::Tensor flat = value.detach().reshape({-1}).to(working_.device(), torch::kFloat32);
    const std::int64_t offset = layout_.offset(i);
    working_.narrow(0, offset, flat.numel()).copy_(flat);
    if (!has_distinct_master()) continue;
    const FlatRange mine = intersect(owned_, {offset, offset + flat.numel()});
    if (mine.size() == 0) continue;
    master_.narrow(0, mine.begin - owned_.begin, mine.size())
        .copy_(flat.narrow(0, mine.begin - offset, mine.size()));
  }
}

void Zero2Optimizer::accumulate(std::span<const torch::Tensor> gradients, double scale) {
  accumulator_.add(gradients, scale);
}

void Zero2Optimizer::discard_gradients() {
  bad_slots_ = accumulator_.bad_slots();
  accumulator_.clear();
}

StepResult Zero2Optimizer::step(std::int64_t supervised_tokens, double lr) {
  const torch::NoGradGuard no_grad;
  require(supervised_tokens >= 0, "a step cannot have {} supervised tokens", supervised_tokens);
  StepResult result;
  result.no_tokens = supervised_tokens == 0;
  result.skipped = result.no_tokens || !reduce_gradients(supervised_tokens, result);
  bad_slots_.clear();
  if (result.overflow()) bad_slots_ = accumulator_.bad_slots();
  accumulator_.clear();
  if (result.skipped) return result;
  result.grad_norm = global_norm();
  result.finite = std::isfinite(result.grad_norm);
  result.skipped = !result.finite;
  if (result.skipped) return result;
  update(lr, clip_factor(result.grad_norm, zero_.max_grad_norm));
  gather_parameters();
  return result;
}

/// False where the sums of the slots cannot be trusted; all ranks see the same.
bool Zero2Optimizer::reduce_gradients(std::int64_t supervised_tokens, StepResult& result) {
  const bool exact = zero_.reduce == GradientReduce::kExact;
  torch::Tensor shared = accumulator_.status();
  communicator_.all_reduce(buffer_of(shared), ReduceOp::kSum);
  const FixedPointStatus status = GradientAccumulator::read_status(shared);
  if (!status.fits()) {
    result.finite = status.non_finite == 0;
    result.non_finite = status.non_finite;
    result.saturated = status.non_finite > 0 ? status.saturated : std::max<std::int64_t>(1, status.saturated);
    result.grad_norm =
        result.finite ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    return false;
  }
  communicator_.reduce_scatter(buffer_of(accumulator_.sums()), buffer_of(reduced_), ReduceOp::kSum);
  const auto tokens = static_cast<double>(supervised_tokens);
  if (exact && reduced_.is_cpu()) {
    fixed_point_mean({reduced_.data_ptr<std::int64_t>(), static_cast<std::size_t>(reduced_.numel())}, tokens,
                     floats(gradient_));
  } else {
    torch::Tensor mean = reduced_.to(torch::kFloat64);
    if (exact) mean.mul_(1.0 / kFixedPointScale);
    gradient_.copy_(mean.div_(tokens));
  }
  return true;
}

double Zero2Optimizer::global_norm() {
  const auto options = torch::TensorOptions().dtype(torch::kFloat64).device(working_.device());
  torch::Tensor mine;
  if (gradient_.is_cpu()) {
    mine = torch::empty({partition_.blocks_per_rank()}, options);
    block_square_sums(floats(gradient_), doubles(mine));
  } else {
    mine = block_square_sums_on_device(gradient_);
  }
  const torch::Tensor all = torch::empty({partition_.blocks_per_rank() * partition_.world_size()}, options);
  communicator_.all_gather(buffer_of(mine), buffer_of(all));
  return norm_of_blocks(doubles(all.to(torch::kCPU)));
}

void Zero2Optimizer::update(double lr, float clip) {
  ++updates_;
  if (!gradient_.is_cpu()) gradient_.mul_(clip);
  for (const FlatLayout::Segment& segment : layout_.segments(owned_)) {
    const AdamWStep step(adamw_, updates_, lr * segment.lr_scale, segment.decay);
    const auto part = [&](const torch::Tensor& whole) {
      return whole.narrow(0, segment.range.begin - owned_.begin, segment.range.size());
    };
    const std::array<torch::Tensor, 3> state{part(master_), part(exp_avg_), part(exp_avg_sq_)};
    if (gradient_.is_cpu()) {
      adamw_update(step, {floats(state[0]), floats(state[1]), floats(state[2])}, floats(part(gradient_)),
                   clip);
    } else {
      adamw_update_on_device(step, state, part(gradient_));
    }
  }
}

void Zero2Optimizer::gather_parameters() {
  const std::int64_t per_rank = partition_.per_rank();
  torch::Tensor mine = working_.narrow(0, per_rank * communicator_.rank(), per_rank);
  if (has_distinct_master()) mine.copy_(master_);  // rounds to nearest even
  // A gather moves bits: fp16 may pass as the other 16-bit type, which communicators know.
  const auto passed = [](const torch::Tensor& tensor) {
    return tensor.scalar_type() == torch::kFloat16 ? tensor.view(torch::kBFloat16) : tensor;
  };
  communicator_.all_gather(buffer_of(passed(mine)), buffer_of(passed(working_)));
}

OptimizerSnapshot Zero2Optimizer::snapshot() const {
  const auto owned_part = [&](const torch::Tensor& part) {
    return host_copy(part.narrow(0, 0, owned_.size()));
  };
  OptimizerSnapshot copy{.range = owned_, .total = layout_.total(), .updates = updates_};
  copy.exp_avg = owned_part(exp_avg_);
  copy.exp_avg_sq = owned_part(exp_avg_sq_);
  if (has_distinct_master()) copy.master = owned_part(master_);
  return copy;
}

void Zero2Optimizer::load(const OptimizerSnapshot& snapshot) {
  const torch::NoGradGuard no_grad;
  require(snapshot.range == owned_ && snapshot.total == layout_.total(),
          "optimizer state of elements [{}, {}) of {} was given to the owner of [{}, {}) of {}",
          snapshot.range.begin, snapshot.range.end, snapshot.total, owned_.begin, owned_.end,
          layout_.total());
  require(snapshot.updates >= 0, "optimizer state: {} updates", snapshot.updates);
  const auto owned_part = [&](const torch::Tensor& part) { return part.narrow(0, 0, owned_.size()); };
  copy_from_host(owned_part(exp_avg_), snapshot.exp_avg, "exp_avg");
  copy_from_host(owned_part(exp_avg_sq_), snapshot.exp_avg_sq, "exp_avg_sq");
  updates_ = snapshot.updates;
  accumulator_.clear();
  if (!has_distinct_master()) return;
  copy_from_host(owned_part(master_), snapshot.master, "master");
  gather_parameters();
}

std::int64_t Zero2Optimizer::state_bytes() const {
  std::int64_t bytes = 0;
  for (const torch::Tensor& part : {exp_avg_, exp_avg_sq_, reduced_, gradient_})
    bytes += static_cast<std::int64_t>(part.nbytes());
  return has_distinct_master() ? bytes + static_cast<std::int64_t>(master_.nbytes()) : bytes;
}

std::int64_t Zero2Optimizer::replicated_bytes() const {
  return static_cast<std::int64_t>(working_.nbytes() + accumulator_.sums().nbytes());
}

}  // namespace ranktune
