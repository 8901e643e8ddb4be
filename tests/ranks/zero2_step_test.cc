#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "comm/mpi_communicator.h"
#include "ranks/rank_session.h"
#include "support/lone_communicator.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {
namespace {

constexpr int kSlots = 7;
constexpr int kSteps = 4;

std::vector<ParameterSpec> specs() {
  return {{.name = "a", .shape = {64, 33}},
          {.name = "b", .shape = {301}, .decay = false},
          {.name = "c", .shape = {16, 40}, .lr_scale = 4.0}};
}

std::vector<torch::Tensor> random_tensors(std::uint64_t seed, double scale) {
  torch::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<torch::Tensor> tensors;
  for (const ParameterSpec& spec : specs()) tensors.push_back(torch::randn(spec.shape, generator) * scale);
  return tensors;
}

/// Gradients of very different size, so that sums in float would show every change of order.
std::vector<torch::Tensor> slot_gradients(int step, int slot) {
  return random_tensors(static_cast<std::uint64_t>(100 * step + slot), std::pow(10.0, slot - 3));
}

Zero2Setup setup(GradientReduce reduce, torch::ScalarType dtype) {
  return {.layout = FlatLayout(specs()),
          .zero = {.reduce = reduce},
          .adamw = {.weight_decay = 0.05},
          .working_dtype = dtype};
}

std::unique_ptr<Communicator> world() { return make_mpi_communicator(rank_session(), {.timeout = 60}); }

/// Trains with the slots dealt to the ranks in turn; returns the gradient norms.
std::vector<double> train(Zero2Optimizer& optimizer, const Communicator& communicator, int first_step = 0) {
  std::vector<double> norms;
  for (int step = first_step; step < first_step + kSteps; ++step) {
    for (int slot = 0; slot < kSlots; ++slot)
      if ((slot + step) % communicator.size() == communicator.rank())
        optimizer.accumulate(slot_gradients(step, slot));
    const StepResult result = optimizer.step(123, 1e-2);
    EXPECT_FALSE(result.skipped);
    norms.push_back(result.grad_norm);
  }
  return norms;
}

class Zero2Step : public testing::TestWithParam<torch::ScalarType> {};

TEST_P(Zero2Step, ExactReductionGivesTheBitsOfOneRank) {
  LoneCommunicator alone;
  Zero2Optimizer one(setup(GradientReduce::kExact, GetParam()), alone);
  const auto communicator = world();
  Zero2Optimizer many(setup(GradientReduce::kExact, GetParam()), *communicator);
  one.set_parameters(random_tensors(1, 1.0));
  many.set_parameters(random_tensors(1, 1.0));
  EXPECT_EQ(train(one, alone), train(many, *communicator));
  for (int i = 0; i < one.layout().count(); ++i)
    EXPECT_TRUE(torch::equal(one.parameter(i), many.parameter(i))) << "parameter " << i;
  const OptimizerSnapshot whole = one.snapshot();
  const OptimizerSnapshot mine = many.snapshot();
  for (std::int64_t i = mine.range.begin; i < mine.range.end; ++i) {
    const auto there = static_cast<std::size_t>(i), here = static_cast<std::size_t>(i - mine.range.begin);
    ASSERT_EQ(whole.exp_avg[there], mine.exp_avg[here]);
    ASSERT_EQ(whole.exp_avg_sq[there], mine.exp_avg_sq[here]);
    if (!mine.master.empty()) {
      ASSERT_EQ(whole.master[there], mine.master[here]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Zero2Step,
                         testing::Values(torch::kFloat32, torch::kBFloat16, torch::kFloat16));

TEST(Zero2StepFp32, FloatReductionIsCloseToOneRank) {
  LoneCommunicator alone;
  Zero2Optimizer one(setup(GradientReduce::kFp32, torch::kFloat32), alone);
  const auto communicator = world();
  Zero2Optimizer many(setup(GradientReduce::kFp32, torch::kFloat32), *communicator);
  one.set_parameters(random_tensors(1, 1.0));
  many.set_parameters(random_tensors(1, 1.0));
  const std::vector<double> expected = train(one, alone), norms = train(many, *communicator);
  for (std::size_t i = 0; i < norms.size(); ++i) EXPECT_NEAR(norms[i], expected[i], 1e-6 * expected[i]);
  // Adam divides by the gradient's own size, so an element near 0 may move by up to the rate; their mean may
  // not.
  for (int i = 0; i < one.layout().count(); ++i)
    EXPECT_LT((one.parameter(i) - many.parameter(i)).abs().mean().item<double>(), 1e-6);
}

TEST(Zero2StepFaults, AFaultOnOneRankSkipsTheStepOnAll) {
  const auto communicator = world();
  std::vector<torch::Tensor> gradients = random_tensors(2, 1.0);
  const bool last = communicator->rank() == communicator->size() - 1;
  if (last) gradients[1][3] = NAN;
  StepResult result;
  for (const auto reduce : {GradientReduce::kFp32, GradientReduce::kExact}) {
    Zero2Optimizer many(setup(reduce, torch::kFloat32), *communicator);
    many.set_parameters(random_tensors(1, 1.0));
    many.accumulate(random_tensors(3, 1.0));
    many.accumulate(gradients);
    result = many.step(10, 1e-2);
    EXPECT_TRUE(result.overflow());
    EXPECT_FALSE(result.finite);
    EXPECT_EQ(result.non_finite, 1);
    ASSERT_EQ(many.bad_slots().size(), last ? 1u : 0u) << "each rank knows its own";
    if (!last) continue;
    EXPECT_EQ(many.bad_slots()[0].ordinal, 1);
    EXPECT_EQ(many.bad_slots()[0].parameter, 1);
  }
  Zero2Optimizer many(setup(GradientReduce::kExact, torch::kFloat32), *communicator);
  many.set_parameters(random_tensors(1, 1.0));
  if (last) gradients[1][3] = 0;
  if (last) gradients[0][3][3] = 1e9;
  many.accumulate(gradients);
  result = many.step(10, 1e-2);
  EXPECT_TRUE(result.skipped);
  EXPECT_EQ(result.saturated, 1);
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(torch::equal(many.parameter(i), random_tensors(1, 1.0)[static_cast<std::size_t>(i)]));
}

/// fp16 gradients of a scaled loss, on one rank beyond what fp16 holds: all skip; at half the scale all go
/// on, and the scale is gone from the result.
TEST(Zero2StepFaults, AnOverflowOfFp16OnOneRankSkipsTheStepOnAll) {
  const auto communicator = world();
  Zero2Optimizer scaled(setup(GradientReduce::kExact, torch::kFloat16), *communicator),
      plain(setup(GradientReduce::kExact, torch::kFloat16), *communicator);
  scaled.set_parameters(random_tensors(1, 1.0));
  plain.set_parameters(random_tensors(1, 1.0));
  const bool last = communicator->rank() == communicator->size() - 1;
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& gradient : random_tensors(4, 1.0))
    gradients.push_back(gradient.clamp(-4, 4).to(torch::kFloat16));
  if (last) gradients[2][5][5] = 40;
  const auto accumulate = [&](double scale) {
    std::vector<torch::Tensor> large;
    for (const torch::Tensor& gradient : gradients) large.push_back(gradient * scale);
    scaled.accumulate(large, scale);
  };
  accumulate(2048);
  const StepResult overflow = scaled.step(10, 1e-2);
  EXPECT_TRUE(overflow.overflow());
  EXPECT_EQ(overflow.non_finite, 1);
  EXPECT_EQ(scaled.updates(), 0);
  accumulate(1024);
  plain.accumulate(gradients);
  EXPECT_EQ(scaled.step(10, 1e-2).grad_norm, plain.step(10, 1e-2).grad_norm);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(torch::equal(scaled.parameter(i), plain.parameter(i)));
}

TEST(Zero2StepFaults, RanksWithoutSlotsTakePart) {
  LoneCommunicator alone;
  Zero2Optimizer one(setup(GradientReduce::kExact, torch::kFloat32), alone);
  const auto communicator = world();
  Zero2Optimizer many(setup(GradientReduce::kExact, torch::kFloat32), *communicator);
  one.accumulate(slot_gradients(0, 3));
  if (communicator->rank() == communicator->size() - 1) many.accumulate(slot_gradients(0, 3));
  EXPECT_EQ(one.step(9, 1e-2).grad_norm, many.step(9, 1e-2).grad_norm);
  EXPECT_TRUE(torch::equal(one.parameter(2), many.parameter(2)));
}

TEST(Zero2StepMemory, OptimizerBytesFallAsOneOverTheRanks) {
  LoneCommunicator alone;
  const auto communicator = world();
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    const std::vector<ParameterSpec> large{{.name = "w", .shape = {1024, 1024}}};
    const auto setup_of = [&] {
      return Zero2Setup{.layout = FlatLayout(large), .zero = {}, .adamw = {}, .working_dtype = dtype};
    };
    const Zero2Optimizer one(setup_of(), alone), many(setup_of(), *communicator);
    // Moments, mean gradient, reduced int64 and, for bf16, the master.
    const std::int64_t bytes_per_element = 4 + 4 + 4 + 8 + (dtype == torch::kFloat32 ? 0 : 4);
    EXPECT_EQ(one.state_bytes(), bytes_per_element << 20);
    const std::int64_t share = one.state_bytes() / communicator->size();
    EXPECT_GE(many.state_bytes(), share);
    EXPECT_LE(many.state_bytes(), share + bytes_per_element * kBlock);
  }
}

}  // namespace
}  // namespace ranktune
