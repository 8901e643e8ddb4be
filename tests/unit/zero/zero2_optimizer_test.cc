#include "zero/zero2_optimizer.h"

#include <gtest/gtest.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim.h>

#include <cmath>
#include <limits>

#include "support/expect_error.h"
#include "support/lone_communicator.h"

namespace ranktune {
namespace {

std::vector<ParameterSpec> specs() {
  return {{.name = "a", .shape = {17, 9}},
          {.name = "bias", .shape = {33}, .decay = false},
          {.name = "c", .shape = {5, 40}}};
}

std::vector<torch::Tensor> random_like(std::uint64_t seed, double scale = 1.0) {
  torch::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<torch::Tensor> tensors;
  for (const ParameterSpec& spec : specs()) tensors.push_back(torch::randn(spec.shape, generator) * scale);
  return tensors;
}

Zero2Setup setup(GradientReduce reduce = GradientReduce::kExact, torch::ScalarType dtype = torch::kFloat32) {
  return {.layout = FlatLayout(specs()),
          .zero = {.reduce = reduce, .max_grad_norm = 0.7},
          .adamw = {.beta2 = 0.95, .weight_decay = 0.1},
          .working_dtype = dtype};
}

std::vector<torch::Tensor> copies(const Zero2Optimizer& optimizer) {
  std::vector<torch::Tensor> values;
  for (int i = 0; i < optimizer.layout().count(); ++i) values.push_back(optimizer.parameter(i).clone());
  return values;
}

bool same_bits(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!torch::equal(a[i], b[i])) return false;
  return a.size() == b.size();
}

/// LibTorch's own AdamW and clip_grad_norm_ over the same mean gradients.
class Reference {
 public:
  explicit Reference(const std::vector<torch::Tensor>& start) {
    for (const torch::Tensor& value : start) parameters_.push_back(value.clone().set_requires_grad(true));
    const auto options = torch::optim::AdamWOptions(1.0).betas({0.9, 0.95});
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(
        std::vector{parameters_[0], parameters_[2]},
        std::make_unique<torch::optim::AdamWOptions>(torch::optim::AdamWOptions(options).weight_decay(0.1)));
    groups.emplace_back(
        std::vector{parameters_[1]},
        std::make_unique<torch::optim::AdamWOptions>(torch::optim::AdamWOptions(options).weight_decay(0.0)));
    adamw_ = std::make_unique<torch::optim::AdamW>(groups, options);
  }

  double step(const std::vector<torch::Tensor>& mean_gradients, double lr) {
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      parameters_[i].mutable_grad() = mean_gradients[i].clone();
    const double norm = torch::nn::utils::clip_grad_norm_(parameters_, 0.7);
    for (auto& group : adamw_->param_groups()) group.options().set_lr(lr);
    adamw_->step();
    return norm;
  }

  const std::vector<torch::Tensor>& parameters() const { return parameters_; }

 private:
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::AdamW> adamw_;
};

TEST(Zero2Optimizer, FollowsLibTorchsAdamWWithClipping) {
  for (const GradientReduce reduce : {GradientReduce::kExact, GradientReduce::kFp32}) {
    LoneCommunicator alone;
    Zero2Optimizer ours(setup(reduce), alone);
    const std::vector<torch::Tensor> start = random_like(1);
    ours.set_parameters(start);
    Reference reference(start);
    const std::vector<double> rates{0.0, 1e-2, 5e-3, 2e-2, 1e-3};
    for (std::size_t i = 0; i < rates.size(); ++i) {
      const auto one = random_like(10 + i, 30.0), two = random_like(20 + i, 3.0);
      ours.accumulate(one);
      ours.accumulate(two);
      const StepResult result = ours.step(50, rates[i]);
      std::vector<torch::Tensor> mean;
      for (std::size_t p = 0; p < one.size(); ++p) mean.push_back((one[p] + two[p]) / 50);
      const double norm = reference.step(mean, rates[i]);
      EXPECT_FALSE(result.skipped);
      EXPECT_NEAR(result.grad_norm, norm, 1e-6 * norm);
      for (int p = 0; p < 3; ++p)
        EXPECT_TRUE(torch::allclose(ours.parameter(p), reference.parameters()[static_cast<std::size_t>(p)],
                                    1e-6, 2e-7))
            << "step " << i << " parameter " << p;
    }
    EXPECT_EQ(ours.updates(), 5);
  }
}

TEST(Zero2Optimizer, ScalesTheLearningRatePerParameter) {
  LoneCommunicator alone;
  Zero2Setup given = setup();
  std::vector<ParameterSpec> list = specs();
  list[2].lr_scale = 16.0;
  given.layout = FlatLayout(list);
  given.adamw.weight_decay = 0.0;
  Zero2Optimizer ours(std::move(given), alone);
  ours.accumulate(std::vector{torch::ones({17, 9}), torch::ones({33}), torch::ones({5, 40})});
  ours.step(1, 1e-3);
  // The first update of Adam moves every element by the learning rate.
  EXPECT_NEAR(ours.parameter(0)[3][4].item<double>(), -1e-3, 1e-8);
  EXPECT_NEAR(ours.parameter(2)[3][4].item<double>(), -16e-3, 1e-7);
}

TEST(Zero2Optimizer, SkipsWhatCannotBeTrustedAndGoesOn) {
  LoneCommunicator alone;
  Zero2Optimizer ours(setup(), alone);
  ours.set_parameters(random_like(1));
  const auto before = copies(ours);
  auto broken = random_like(2);
  broken[1][7] = NAN;
  ours.accumulate(random_like(3));
  ours.accumulate(broken);
  StepResult result = ours.step(10, 1e-2);
  EXPECT_TRUE(result.skipped);
  EXPECT_FALSE(result.finite);
  EXPECT_EQ(result.non_finite, 1);
  EXPECT_TRUE(std::isnan(result.grad_norm));

  auto large = random_like(2);
  large[0][0][0] = -1e8;
  ours.accumulate(large);
  result = ours.step(10, 1e-2);
  EXPECT_TRUE(result.skipped && result.finite);
  EXPECT_EQ(result.saturated, 1);

  for (int i = 0; i < 3; ++i) {  // each fits, their sum does not
    auto near_limit = random_like(2);
    near_limit[0][0][0] = 5e6;
    ours.accumulate(near_limit);
  }
  EXPECT_EQ(ours.step(10, 1e-2).saturated, 1);

  result = ours.step(0, 1e-2);
  EXPECT_TRUE(result.skipped && result.no_tokens && result.finite);
  EXPECT_TRUE(same_bits(copies(ours), before));
  EXPECT_EQ(ours.updates(), 0);

  ours.accumulate(random_like(3));
  EXPECT_FALSE(ours.step(10, 1e-2).skipped);
  EXPECT_EQ(ours.updates(), 1);
}

TEST(Zero2Optimizer, Fp32ReductionSkipsNonFiniteGradientsToo) {
  LoneCommunicator alone;
  Zero2Optimizer ours(setup(GradientReduce::kFp32), alone);
  ours.set_parameters(random_like(1));
  const auto before = copies(ours);
  auto broken = random_like(2);
  broken[2][1][1] = std::numeric_limits<float>::infinity();
  ours.accumulate(broken);
  const StepResult result = ours.step(10, 1e-2);
  EXPECT_TRUE(result.skipped);
  EXPECT_FALSE(result.finite);
  EXPECT_TRUE(same_bits(copies(ours), before));
}

TEST(Zero2Optimizer, GoesOnFromASnapshotBitForBit) {
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16, torch::kFloat16}) {
    LoneCommunicator alone;
    Zero2Optimizer first(setup(GradientReduce::kExact, dtype), alone);
    first.set_parameters(random_like(1));
    const auto train = [](Zero2Optimizer& optimizer, std::uint64_t from, std::uint64_t to) {
      for (std::uint64_t i = from; i < to; ++i) {
        optimizer.accumulate(random_like(i));
        optimizer.step(3, 1e-3);
      }
    };
    train(first, 5, 8);
    const OptimizerSnapshot snapshot = first.snapshot();
    const auto parameters = copies(first);
    EXPECT_EQ(snapshot.updates, 3);
    EXPECT_EQ(snapshot.master.empty(), dtype == torch::kFloat32);
    train(first, 8, 11);

    Zero2Optimizer second(setup(GradientReduce::kExact, dtype), alone);
    second.set_parameters(parameters);
    second.load(snapshot);
    EXPECT_TRUE(same_bits(copies(second), parameters));
    train(second, 8, 11);
    EXPECT_TRUE(same_bits(copies(second), copies(first))) << c10::toString(dtype);
    EXPECT_EQ(second.snapshot().exp_avg_sq, first.snapshot().exp_avg_sq);
    EXPECT_EQ(second.snapshot().master, first.snapshot().master);
  }
}

/// Updates far below a bf16 unit must not be lost: that is what the master is for.
TEST(Zero2Optimizer, Bf16ParametersHaveAnFp32Master) {
  LoneCommunicator alone;
  Zero2Setup given = setup(GradientReduce::kExact, torch::kBFloat16);
  given.adamw.weight_decay = 0.0;
  Zero2Optimizer ours(std::move(given), alone);
  ours.set_parameters(std::vector{torch::ones({17, 9}), torch::ones({33}), torch::ones({5, 40})});
  for (int i = 0; i < 20; ++i) {
    ours.accumulate(std::vector{torch::ones({17, 9}), torch::ones({33}), torch::ones({5, 40})});
    ours.step(1, 1e-3);
  }
  EXPECT_NEAR(ours.snapshot().master[0], 0.98, 1e-5);
  EXPECT_EQ(ours.parameter(0)[0][0].item<float>(), 0.98046875F);
}

TEST(Zero2Optimizer, ParametersAreViewsThatStepsChange) {
  LoneCommunicator alone;
  Zero2Optimizer ours(setup(), alone);
  const torch::Tensor view = ours.parameter(1);
  ours.set_parameters(random_like(4));
  EXPECT_TRUE(torch::equal(view, random_like(4)[1]));
  ours.accumulate(random_like(5));
  ours.step(1, 0.1);
  EXPECT_FALSE(torch::equal(view, random_like(4)[1]));
}

TEST(Zero2Optimizer, RefusesWhatDoesNotFit) {
  LoneCommunicator alone;
  Zero2Setup other_stage = setup();
  other_stage.zero.stage = 3;
  expect_error([&] { Zero2Optimizer(std::move(other_stage), alone); }, "zero.stage = 3");
  expect_error([&] { Zero2Optimizer(setup(GradientReduce::kExact, torch::kInt32), alone); }, "Int");
  Zero2Optimizer ours(setup(), alone);
  expect_error([&] { ours.set_parameters(std::vector{torch::zeros({1})}); }, "1 tensors", "3");
  expect_error(
      [&] {
        ours.set_parameters(std::vector{torch::zeros({9, 17}), torch::zeros({33}), torch::zeros({5, 40})});
      },
      "parameter a");
  OptimizerSnapshot foreign = ours.snapshot();
  foreign.range.end -= 1;
  expect_error([&] { ours.load(foreign); }, "[0, 385)", "[0, 386)");
}

}  // namespace
}  // namespace ranktune
