#include "train/slot_loss.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "base/file.h"
#include "model/load_model.h"

namespace ranktune {
namespace {

std::unique_ptr<Decoder> small_model() {
  return load_model({.folder = Path(RANKTUNE_TEST_DATA) / "golden/qwen2_gqa_tied/model",
                     .dtype = torch::kFloat32,
                     .device = torch::kCPU});
}

/// Examples of 5 and 4 tokens, each with a mark on its first token, which nothing predicts.
const Slot kBoth{.tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5},
                 .loss_mask = {1, 0, 1, 1, 0, 1, 1, 0, 1},
                 .boundaries = {0, 5, 9},
                 .rows = {0, 1}};
const Slot kFirst{.tokens = {3, 1, 4, 1, 5}, .loss_mask = {1, 0, 1, 1, 0}, .boundaries = {0, 5}, .rows = {0}};
const Slot kSecond{.tokens = {9, 2, 6, 5}, .loss_mask = {1, 1, 0, 1}, .boundaries = {0, 4}, .rows = {1}};

/// LibTorch's cross-entropy on the logits of the rows before each marked token.
double spelled_out(Decoder& decoder, const Slot& example) {
  const torch::NoGradGuard no_grad;
  const PackedTokens tokens = pack_tokens(example.tokens, example.boundaries, torch::kCPU);
  const torch::Tensor logits = decoder.logits(decoder.final_norm(decoder.hidden_states(tokens, {})));
  double loss = 0;
  for (std::size_t t = 1; t < example.tokens.size(); ++t)
    if (example.loss_mask[t] == 1)
      loss -= torch::log_softmax(logits[static_cast<std::int64_t>(t) - 1].to(torch::kFloat64),
                                 -1)[example.tokens[t]]
                  .item<double>();
  return loss;
}

TEST(SlotLoss, IsTheSumOverTheMarkedTokensOfEachExampleAlone) {
  const auto decoder = small_model();
  const double wanted = spelled_out(*decoder, kFirst) + spelled_out(*decoder, kSecond);
  EXPECT_EQ(kBoth.supervised_tokens(), 4);
  EXPECT_NEAR(slot_loss(*decoder, kBoth), wanted, 1e-4);
  EXPECT_NEAR(slot_loss(*decoder, kFirst) + slot_loss(*decoder, kSecond), wanted, 1e-4);
}

TEST(SlotLoss, GradientsArePackingIndependentAndMatchADifferenceQuotient) {
  const auto decoder = small_model();
  const ParameterPtr weight = decoder->linears().front()->weight;
  const torch::Tensor frozen = weight->value.detach().clone();
  weight->value = frozen.clone().requires_grad_();
  const SlotGradients both = slot_gradients(*decoder, kBoth, {weight->value}, {.training = true});
  const SlotGradients first = slot_gradients(*decoder, kFirst, {weight->value}, {.training = true});
  const SlotGradients second = slot_gradients(*decoder, kSecond, {weight->value}, {.training = true});
  const torch::Tensor gradient = both.gradients[0];
  EXPECT_NEAR(both.loss_sum, slot_loss(*decoder, kBoth), 1e-5);
  EXPECT_TRUE(torch::allclose(gradient, first.gradients[0] + second.gradients[0], 1e-3, 1e-6));
  const SlotGradients again =
      slot_gradients(*decoder, kBoth, {weight->value}, {.training = true, .recompute = true});
  EXPECT_TRUE(torch::equal(again.gradients[0], gradient));
  // Along the gradient itself the loss rises by step * |gradient|^2.
  const double square = gradient.square().sum().item<double>(), step = 1e-2 / std::sqrt(square);
  weight->value = frozen + gradient * step;
  const double above = slot_loss(*decoder, kBoth);
  weight->value = frozen - gradient * step;
  const double below = slot_loss(*decoder, kBoth);
  EXPECT_NEAR((above - below) / (2 * step * square), 1.0, 0.02);
}

}  // namespace
}  // namespace ranktune
