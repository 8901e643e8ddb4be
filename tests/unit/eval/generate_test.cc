#include "eval/generate.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "model/load_model.h"
#include "model/lora.h"
#include "model/packed_tokens.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

/// A tiny model with random weights.
std::unique_ptr<Decoder> small_model(const std::string& name) {
  return load_model({.folder = Path(RANKTUNE_TEST_DATA) / "golden" / name / "model",
                     .dtype = torch::kFloat32,
                     .device = torch::kCPU});
}

// How transformers continues a prompt with qwen2_mha, greedily: gen.0 of its golden.safetensors.
const Ids kPrompt{135, 147, 381, 276, 200};
const Ids kContinuation{292, 20, 20, 198, 100, 15, 314, 314};

GenerateOptions at_most(std::int64_t max_new_tokens, Ids stop = {}, const SamplingOptions& sampling = {}) {
  return {.max_new_tokens = max_new_tokens, .stop = std::move(stop), .sampling = sampling};
}

/// Logits [V] after the last of `ids`, by one pass over all of them without a cache.
torch::Tensor last_logits(Decoder& decoder, const Ids& ids) {
  const torch::NoGradGuard no_grad;
  const Ids boundaries{0, static_cast<std::int32_t>(ids.size())};
  const torch::Tensor hidden =
      decoder.hidden_states(pack_tokens(ids, boundaries, decoder.device()), ForwardMode{});
  return decoder.logits(decoder.final_norm(hidden))[-1];
}

/// `count` tokens after the prompt, each what `pick` makes of the logits behind all before it and its place.
template <typename Pick>
Ids continued(Decoder& decoder, const Ids& prompt, std::int64_t count, const Pick& pick) {
  Ids all = prompt;
  for (std::int64_t i = 0; i < count; ++i) all.push_back(pick(last_logits(decoder, all), i));
  return {all.begin() + static_cast<std::ptrdiff_t>(prompt.size()), all.end()};
}

std::int32_t likeliest(const torch::Tensor& logits, std::int64_t /*place*/) {
  return static_cast<std::int32_t>(logits.argmax().item<std::int64_t>());
}

class GenerateFamilyTest : public testing::TestWithParam<std::string> {};

/// The cache changes nothing, whether the prompt fills it with many tokens or with one.
TEST_P(GenerateFamilyTest, GreedyTokensAreTheLikeliestOfWholeForwardPasses) {
  const auto decoder = small_model(GetParam());
  for (const Ids& prompt : {Ids{7, 41, 3, 22, 58, 13}, Ids{9}})
    EXPECT_EQ(generate(*decoder, prompt, at_most(8)).ids, continued(*decoder, prompt, 8, likeliest))
        << "after " << prompt.size();
}

INSTANTIATE_TEST_SUITE_P(, GenerateFamilyTest,
                         testing::Values("llama_smol_tied", "qwen1", "qwen3_gqa_bf16", "rope_yarn"),
                         [](const auto& test) { return test.param; });

TEST(Generate, AStopTokenEndsTheAnswerAndIsNotPartOfIt) {
  const auto decoder = small_model("qwen2_mha");
  const auto answer = [&](const GenerateOptions& options) { return generate(*decoder, kPrompt, options); };
  const Generation whole = answer(at_most(8, {200}));  // in the prompt it stops nothing
  EXPECT_EQ(whole.ids, kContinuation);
  EXPECT_FALSE(whole.stopped);
  const Generation early = answer(at_most(8, {314, 15}));
  EXPECT_EQ(early.ids, (Ids{292, 20, 20, 198, 100}));
  EXPECT_TRUE(early.stopped);
  const Generation none = answer(at_most(8, {292}));
  EXPECT_EQ(none.ids, Ids{});
  EXPECT_TRUE(none.stopped);
}

TEST(Generate, TheLimitCountsTheTokensOfTheAnswer) {
  const auto decoder = small_model("qwen2_mha");
  const Generation limited = generate(*decoder, kPrompt, at_most(5, {15}));
  EXPECT_EQ(limited.ids, (Ids{292, 20, 20, 198, 100}));
  EXPECT_FALSE(limited.stopped) << "the stop token would have been the sixth";
  const Generation stopped = generate(*decoder, kPrompt, at_most(6, {15}));
  EXPECT_EQ(stopped.ids, limited.ids);
  EXPECT_TRUE(stopped.stopped);
}

TEST(Generate, PromptAndAnswerFillTheModelsLengthAndNoMore) {
  const auto decoder = small_model("rope_dynamic");  // 32 positions, stretched by 2
  Ids prompt(61);
  for (std::size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<std::int32_t>(i);
  const Generation answer = generate(*decoder, prompt, at_most(256));
  EXPECT_EQ(answer.ids.size(), 3u);
  EXPECT_FALSE(answer.stopped);
  prompt.resize(64);
  expect_error([&] { generate(*decoder, prompt, at_most(256)); }, "the prompt has 64 tokens",
               "the model takes 64 in all");
  expect_error([&] { generate(*decoder, Ids{}, at_most(256)); }, "the prompt has no tokens");
}

TEST(Generate, EachTokenIsToldOfInOrderButNotTheStopToken) {
  const auto decoder = small_model("qwen2_mha");
  Ids told;
  const auto tell = [&](std::int32_t token) { told.push_back(token); };
  const Generation answer = generate(*decoder, kPrompt, at_most(8, {15}), tell);
  EXPECT_EQ(told, answer.ids);
  EXPECT_EQ(told, (Ids{292, 20, 20, 198, 100}));
}

TEST(Generate, SampledTokensAreThoseOfWholeForwardPasses) {
  const auto decoder = small_model("qwen2_mha");
  const SamplingOptions sampling{.temperature = 0.8, .top_p = 0.9, .seed = 3};
  const Ids wanted = continued(*decoder, kPrompt, 8, [&](const torch::Tensor& logits, std::int64_t place) {
    return sample(logits, sampling, static_cast<std::uint64_t>(place));
  });
  EXPECT_EQ(generate(*decoder, kPrompt, at_most(8, {}, sampling)).ids, wanted);
  EXPECT_NE(wanted, kContinuation);
}

TEST(Generate, TheSeedDecidesASampledAnswer) {
  const auto decoder = small_model("qwen2_mha");
  const auto answer = [&](std::uint64_t seed) {
    return generate(*decoder, kPrompt, at_most(12, {}, {.temperature = 1, .seed = seed})).ids;
  };
  EXPECT_EQ(answer(1), answer(1));
  EXPECT_NE(answer(1), answer(2));
}

TEST(Generate, ATinyTemperatureOrNucleusIsGreedy) {
  const auto decoder = small_model("qwen2_mha");
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const SamplingOptions cold{.temperature = 1e-6, .seed = seed},
        narrow{.temperature = 1, .top_p = 1e-6, .seed = seed};
    EXPECT_EQ(generate(*decoder, kPrompt, at_most(8, {}, cold)).ids, kContinuation) << seed;
    EXPECT_EQ(generate(*decoder, kPrompt, at_most(8, {}, narrow)).ids, kContinuation) << seed;
  }
}

TEST(Generate, TheAdapterSpeaksUnlessItIsToBeLeftOut) {
  const auto decoder = small_model("qwen2_mha");
  add_lora(*decoder, resolve_targets(*decoder, {}), 1);
  torch::manual_seed(2);
  for (const Linear* linear : decoder->linears())
    linear->lora->b->value = torch::randn_like(linear->lora->b->value) * 0.5;
  GenerateOptions options = at_most(8);
  const Ids with = generate(*decoder, kPrompt, options).ids;
  EXPECT_EQ(with, continued(*decoder, kPrompt, 8, likeliest));
  EXPECT_NE(with, kContinuation);
  options.use_adapter = false;
  EXPECT_EQ(generate(*decoder, kPrompt, options).ids, kContinuation);
}

}  // namespace
}  // namespace ranktune
