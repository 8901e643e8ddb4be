// Logits, losses, hidden states, gradients, greedy decoding and merging against transformers and PEFT, by the
// checks of `ranktune verify`.

#include "golden/expect_figures.h"
#include "verify/check_forward.h"

namespace ranktune {
namespace {

class GoldenModelTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenModelTest, TheBareModelComputesTheReferencesNumbers) {
  GoldenModel golden(golden_folder(GetParam()));
  Findings findings;
  check_bare_model(golden, torch::kCPU, findings);
  expect_figures_pass(findings);
  EXPECT_EQ(figures_named(findings, "loss"), 2);
  EXPECT_EQ(figures_named(findings, "hidden_states"), 1);
  EXPECT_EQ(figures_named(findings, "cached, tokens"), 3);
  EXPECT_EQ(figures_named(findings, "whole forward, tokens"), 3);
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenModelTest,
                         testing::Values("llama_rope3", "llama_smol_tied", "qwen1", "qwen2_gqa_tied",
                                         "qwen2_mha", "qwen3_gqa_bf16", "rope_dynamic", "rope_qwen1",
                                         "rope_yarn"),
                         test_name);

class GoldenVariantTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenVariantTest, LogitsLossAndGradientsAreTheReferences) {
  const std::string& name = GetParam();
  const std::size_t slash = name.find('/');
  GoldenModel golden(golden_folder(name.substr(0, slash)));
  Findings findings;
  check_variant(golden, name.substr(slash + 1), torch::kCPU, findings);
  expect_figures_pass(findings);
  EXPECT_EQ(figures_named(findings, "gradients"), 2);
  if (!name.ends_with("full")) {
    EXPECT_EQ(figures_named(findings, "loss"), 1);
    EXPECT_GE(figures_named(findings, "logits"), 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Adapters, GoldenVariantTest, testing::ValuesIn(golden_variants()), test_name);
INSTANTIATE_TEST_SUITE_P(AllWeights, GoldenVariantTest,
                         testing::Values("qwen2_gqa_tied/full", "qwen2_mha/full"), test_name);

TEST(GoldenMerge, TheMergedModelOfPeftIsCompared) {
  GoldenModel golden(golden_folder("qwen2_mha"));
  Findings findings;
  check_variant(golden, "lora", torch::kCPU, findings);
  EXPECT_EQ(figures_named(findings, "merge"), 3);
}

}  // namespace
}  // namespace ranktune
