#include "model/linear.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "model/packed_tokens.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

Linear adapted(std::int64_t in, std::int64_t out, double dropout) {
  torch::manual_seed(5);
  Linear linear;
  linear.name = "x";
  linear.weight = std::make_shared<Parameter>("x.weight", torch::randn({out, in}));
  linear.bias = std::make_shared<Parameter>("x.bias", torch::randn({out}));
  linear.lora = std::make_unique<LoraUpdate>();
  linear.lora->a = std::make_shared<Parameter>("a", torch::randn({4, in}));
  linear.lora->b = std::make_shared<Parameter>("b", torch::randn({out, 4}));
  linear.lora->scale = 0.5;
  linear.lora->dropout = dropout;
  linear.lora->site = 3;
  return linear;
}

TEST(Linear, AddsTheScaledLowRankUpdate) {
  const Linear linear = adapted(10, 7, 0.5);
  const torch::Tensor x = torch::randn({6, 10});
  const torch::Tensor base = torch::addmm(linear.bias->value, x, linear.weight->value.t());
  const torch::Tensor merged =
      linear.weight->value + 0.5 * torch::matmul(linear.lora->b->value, linear.lora->a->value);
  EXPECT_TRUE(
      torch::allclose(linear.forward(x, {}), torch::addmm(linear.bias->value, x, merged.t()), 1e-4, 1e-4));
  EXPECT_TRUE(torch::allclose(linear.forward(x, {.use_adapter = false}), base, 1e-5, 1e-5));
}

TEST(Linear, DropoutDependsOnItsSeedAndPlaceAlone) {
  const Linear linear = adapted(10, 7, 0.3);
  const torch::Tensor x = torch::randn({6, 10});
  const ForwardMode mode{.training = true, .dropout_seed = 17};
  const torch::Tensor first = linear.forward(x, mode);
  torch::manual_seed(99);
  static_cast<void>(torch::rand({100}));  // what was drawn before does not matter
  EXPECT_TRUE(torch::equal(linear.forward(x, mode), first));
  EXPECT_FALSE(torch::equal(linear.forward(x, {.training = true, .dropout_seed = 18}), first));
  linear.lora->site = 4;
  EXPECT_FALSE(torch::equal(linear.forward(x, mode), first));
}

TEST(Linear, DropoutZeroesTheShareAndKeepsTheMean) {
  Linear linear = adapted(400, 400, 0.3);
  linear.weight->value.zero_();
  linear.bias->value.zero_();
  linear.lora->a->value = torch::eye(400);
  linear.lora->b->value = torch::eye(400);
  linear.lora->scale = 1;
  const torch::Tensor y = linear.forward(torch::ones({250, 400}), {.training = true, .dropout_seed = 1});
  const double zeros = (y == 0).to(torch::kFloat64).mean().item<double>();
  EXPECT_NEAR(zeros, 0.3, 0.006);  // 100,000 draws: four standard deviations
  EXPECT_NEAR(y.to(torch::kFloat64).mean().item<double>(), 1.0, 0.009);
  EXPECT_NEAR(y.max().item<double>(), 1 / 0.7, 1e-6);
}

TEST(Linear, DoraScalesTheRowsOfTheWeightsItHasNow) {
  Linear linear = adapted(10, 7, 0);
  linear.lora->magnitude = std::make_shared<Parameter>("m", torch::rand({7}) + 0.5);
  const torch::Tensor x = torch::randn({6, 10});
  const auto expected = [&] {
    const torch::Tensor sum =
        linear.weight->value + 0.5 * torch::matmul(linear.lora->b->value, linear.lora->a->value);
    const torch::Tensor factor = linear.lora->magnitude->value / torch::linalg_vector_norm(sum, 2, 1);
    return torch::addmm(linear.bias->value, x, (sum * factor.unsqueeze(1)).t());
  };
  const auto agrees = [&] { return torch::allclose(linear.forward(x, {}), expected(), 1e-4, 1e-4); };
  EXPECT_TRUE(agrees());
  EXPECT_TRUE(agrees()) << "with the lengths it knows";
  for (const ParameterPtr& changed :
       {linear.lora->a, linear.lora->b, linear.lora->magnitude, linear.weight}) {
    changed->value = torch::rand_like(changed->value) + 0.5;  // as a step gives new ones
    EXPECT_TRUE(agrees()) << changed->name;
  }
}

TEST(PackedTokens, PositionsRestartInEachExample) {
  const std::vector<std::int32_t> ids{7, 8, 9, 5, 6}, boundaries{0, 3, 5};
  const PackedTokens packed = pack_tokens(ids, boundaries, torch::kCPU);
  EXPECT_TRUE(torch::equal(packed.ids, torch::tensor({7, 8, 9, 5, 6}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(packed.positions, torch::tensor({0, 1, 2, 0, 1}, torch::kInt64)));
  EXPECT_EQ(packed.lengths, (std::vector<std::int64_t>{3, 2}));
}

TEST(PackedTokens, BoundariesThatDoNotCoverTheRowAreRefused) {
  const std::vector<std::int32_t> ids{7, 8, 9};
  for (const std::vector<std::int32_t>& bad : {std::vector<std::int32_t>{}, {0}, {0, 2}, {1, 3}, {0, 4}})
    expect_error([&] { pack_tokens(ids, bad, torch::kCPU); }, "do not cover");
  expect_error(
      [&] {
        pack_tokens(ids, std::vector<std::int32_t>{0, 2, 2, 3}, torch::kCPU);
      },
      "example 1", "empty");
}

}  // namespace
}  // namespace ranktune
