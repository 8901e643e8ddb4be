// Twenty steps of two micro-batches each against PyTorch, transformers' schedule and PEFT: rates, losses,
// gradient norms, moments and the final parameters, for adapters and for full fine-tuning, on any number of
// ranks, by the checks of `ranktune verify`.

#include "comm/make_communicator.h"
#include "golden/expect_figures.h"
#include "ranks/rank_session.h"
#include "verify/check_trajectory.h"

namespace ranktune {
namespace {

class GoldenTrajectory : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTrajectory, FollowsTheReference) {
  const std::string& name = GetParam();
  const std::size_t slash = name.find('/');
  const std::string variant = name.substr(slash + 1);
  const auto control = make_control_communicator(rank_session(), CommOptions{}, nullptr);
  GoldenModel golden(golden_folder(name.substr(0, slash)));
  Findings findings;
  check_trajectory(golden, variant, {*control, *control, torch::kCPU}, findings);
  expect_figures_pass(findings);
  if (control->rank() != 0) return;
  for (const char* what : {"train.lr", "train.loss", "train.grad_norm", "train.micro_tokens",
                           "train.micro_mean_loss", "final parameters", "train.final_logits"})
    EXPECT_GE(figures_named(findings, what), 1) << what;
  EXPECT_EQ(figures_named(findings, "exp_avg"), variant == "full" ? 0 : 2);
  EXPECT_EQ(figures_named(findings, "weight decay"), variant == "full" ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(Adapters, GoldenTrajectory, testing::ValuesIn(golden_variants()), test_name);
INSTANTIATE_TEST_SUITE_P(AllWeights, GoldenTrajectory,
                         testing::Values("qwen2_gqa_tied/full", "qwen2_mha/full"), test_name);

}  // namespace
}  // namespace ranktune
