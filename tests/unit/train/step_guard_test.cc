#include "train/step_guard.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(StepGuard, PoliciesHaveNames) {
  EXPECT_EQ(guard_policy_of("skip"), GuardPolicy::kSkip);
  EXPECT_EQ(guard_policy_of("rewind"), GuardPolicy::kRewind);
  EXPECT_EQ(guard_policy_of("stop"), GuardPolicy::kStop);
  EXPECT_EQ(guard_policy_of("off"), GuardPolicy::kOff);
  expect_error([] { guard_policy_of("warn"); }, "\"warn\"", "\"skip\", \"rewind\" or \"stop\"");
  expect_error([] { StepGuard({.non_finite = GuardPolicy::kOff}, {}); }, "unguarded");
}

TEST(StepGuard, ASpikeIsAboveAMultipleOfTheMedianOfAFullWindow) {
  StepGuard guard({.loss_spike = GuardPolicy::kSkip, .spike_factor = 2, .spike_window = 3}, {});
  guard.note(1);
  guard.note(100);
  EXPECT_FALSE(guard.is_spike(1e9)) << "only two losses so far";
  guard.note(3);
  EXPECT_EQ(guard.median(), 3);
  EXPECT_FALSE(guard.is_spike(6));
  EXPECT_TRUE(guard.is_spike(6.1));
  guard.note(2);  // 100, 3, 2
  EXPECT_EQ(guard.median(), 3);
  guard.note(2);  // 3, 2, 2
  EXPECT_EQ(guard.median(), 2);
  EXPECT_EQ(guard.judge(9, Trouble::kLossSpike), GuardPolicy::kSkip);
  EXPECT_TRUE(guard.rewinds().empty());
}

TEST(StepGuard, WithoutAPolicyNothingIsASpike) {
  StepGuard guard({.spike_factor = 2, .spike_window = 1}, {});
  guard.note(1);
  EXPECT_FALSE(guard.is_spike(1e9));
  EXPECT_TRUE(guard.state().is_null());
}

TEST(StepGuard, AStepWithNanIsTriedAgainOnceAndThenLeftOut) {
  StepGuard guard({.non_finite = GuardPolicy::kRewind, .max_rewinds = 2}, {});
  EXPECT_EQ(guard.judge(7, Trouble::kNonFinite), GuardPolicy::kRewind);
  EXPECT_FALSE(guard.is_left_out(7)) << "a fault of the machine does not come again";
  EXPECT_EQ(guard.judge(7, Trouble::kNonFinite), GuardPolicy::kSkip);
  EXPECT_EQ(guard.judge(8, Trouble::kNonFinite), GuardPolicy::kRewind);
  EXPECT_EQ(guard.judge(8, Trouble::kNonFinite), GuardPolicy::kSkip);
  EXPECT_EQ(guard.judge(9, Trouble::kNonFinite), GuardPolicy::kStop) << "two rewinds are all";
  EXPECT_EQ(guard.judge(7, Trouble::kNonFinite), GuardPolicy::kSkip) << "after another rewind";
  EXPECT_EQ(guard.rewinds(), (std::vector<Rewind>{{7, Trouble::kNonFinite}, {8, Trouble::kNonFinite}}));
}

TEST(StepGuard, EachSpikeLeavesOutTwiceAsMuch) {
  StepGuard guard({.loss_spike = GuardPolicy::kRewind}, {});
  EXPECT_EQ(guard.judge(20, Trouble::kLossSpike), GuardPolicy::kRewind);
  for (const std::int64_t step : {19, 20}) EXPECT_TRUE(guard.is_left_out(step)) << step;
  for (const std::int64_t step : {18, 21}) EXPECT_FALSE(guard.is_left_out(step)) << step;
  EXPECT_EQ(guard.judge(30, Trouble::kLossSpike), GuardPolicy::kRewind);
  for (const std::int64_t step : {19, 20, 27, 28, 29, 30}) EXPECT_TRUE(guard.is_left_out(step)) << step;
  for (const std::int64_t step : {18, 21, 26, 31}) EXPECT_FALSE(guard.is_left_out(step)) << step;
}

TEST(StepGuard, ACheckpointWithStepsLeftOutLaterIsFoundOut) {
  const Rewind nan{5, Trouble::kNonFinite}, first{20, Trouble::kLossSpike}, second{30, Trouble::kLossSpike};
  EXPECT_FALSE(holds_left_out(100, {}, {nan})) << "only the step itself, which no checkpoint has";
  EXPECT_FALSE(holds_left_out(19, {}, {first}));
  EXPECT_TRUE(holds_left_out(20, {}, {first})) << "step 19 is in it";
  EXPECT_FALSE(holds_left_out(20, {first}, {first})) << "and was left out already";
  EXPECT_FALSE(holds_left_out(27, {nan, first}, {nan, first, second}));
  EXPECT_TRUE(holds_left_out(28, {nan, first}, {nan, first, second})) << "the second leaves out four";
  EXPECT_TRUE(holds_left_out(27, {}, {nan, first, second})) << "one before it was not known";
}

TEST(StepGuard, ManyRewindsAreNoOverflow) {
  std::vector<Rewind> many(900, {1000, Trouble::kLossSpike});
  const StepGuard guard({}, many);
  EXPECT_TRUE(guard.is_left_out(0));
  EXPECT_FALSE(guard.is_left_out(1001));
}

TEST(StepGuard, GoesOnFromACheckpointAndTheFileOfRewinds) {
  const GuardOptions options{.loss_spike = GuardPolicy::kRewind, .spike_factor = 2, .spike_window = 3};
  StepGuard first(options, {});
  for (const double loss : {0.1, 1.0 / 3, 0.7, 0.25}) first.note(loss);
  first.judge(4, Trouble::kLossSpike);
  StepGuard second(options, parse_rewinds(rewinds_text(first.rewinds()), "rewinds.json"));
  second.restore(Json::parse(first.state().dump()));
  EXPECT_EQ(second.median(), 1.0 / 3);
  EXPECT_EQ(second.rewinds(), first.rewinds());
  EXPECT_TRUE(second.is_left_out(3));
  second.restore(Json());
  EXPECT_FALSE(second.is_spike(100)) << "a checkpoint of a run that did not look for spikes";
  expect_error([&] { second.restore(Json::parse("[1, \"x\"]")); }, "recent_losses", "x");
}

TEST(StepGuard, DamagedFilesOfRewindsAreRefused) {
  EXPECT_EQ(rewinds_text({{4, Trouble::kNonFinite}}), "[{\"step\":5,\"reason\":\"non_finite\"}]\n");
  for (const char* text : {"", "{}", "[5]", R"([{"step": 5}])", R"([{"step": 0, "reason": "loss_spike"}])",
                           R"([{"step": 5, "reason": "boredom"}])"})
    expect_error([&] { parse_rewinds(text, "run/rewinds.json"); }, "run/rewinds.json");
}

}  // namespace
}  // namespace ranktune
