#include "zero/loss_scaler.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/json.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

/// Against torch.amp.GradScaler: tests/data/zero/make_loss_scale.py.
TEST(LossScaler, FollowsGradScaler) {
  const Json cases = read_json_file(Path(RANKTUNE_TEST_DATA) / "zero" / "loss_scale.json");
  ASSERT_GE(cases.size(), 4u);
  for (const Json& recorded : cases) {
    LossScaler scaler({.initial = recorded["initial"].get<double>(),
                       .growth_interval = recorded["growth_interval"].get<std::int64_t>(),
                       .minimum = 0x1p-20});
    for (const Json& step : recorded["steps"]) {
      scaler.update(step["overflow"].get<bool>());
      EXPECT_EQ(step["skipped"], step["overflow"]);
      EXPECT_EQ(scaler.scale(), step["scale"].get<double>());
      EXPECT_EQ(scaler.good_steps(), step["good_steps"].get<std::int64_t>());
    }
  }
}

TEST(LossScaler, DoesNotFallBelowItsMinimum) {
  LossScaler scaler({.initial = 16, .growth_interval = 2, .minimum = 4});
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 8);
  EXPECT_FALSE(scaler.at_minimum());
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 4);
  EXPECT_TRUE(scaler.at_minimum());
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 4);
  scaler.update(false);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 8);
}

TEST(LossScaler, GoesOnFromItsState) {
  const LossScaleOptions options{.initial = 1024, .growth_interval = 3};
  LossScaler first(options), second(options);
  for (const bool overflow : {false, true, false, false}) first.update(overflow);
  second.restore(first.scale(), first.good_steps());
  EXPECT_EQ(second.scale(), 512);
  first.update(false), second.update(false);
  EXPECT_EQ(first.scale(), 1024) << "the third good step";
  EXPECT_EQ(second.scale(), first.scale());
}

TEST(LossScaler, ACheckpointBelowARaisedMinimumStaysWhereItIs) {
  LossScaler scaler({.initial = 64, .minimum = 16});
  scaler.restore(2, 0);
  EXPECT_TRUE(scaler.at_minimum());
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 2);
}

TEST(LossScaler, RefusesWhatIsNotExact) {
  expect_error([] { LossScaler({.initial = 1000}); }, "1000", "power of two");
  expect_error([] { LossScaler({.initial = 0}); }, "power of two");
  expect_error([] { LossScaler({.minimum = 3}); }, "smallest loss scale is 3");
  expect_error([] { LossScaler({.initial = 2, .minimum = 4}); }, "start at 2", "minimum of 4");
  expect_error([] { LossScaler({.growth_interval = 0}); }, "0 steps");
  LossScaler scaler({});
  expect_error([&] { scaler.restore(std::numeric_limits<double>::infinity(), 0); }, "checkpoint");
  expect_error([&] { scaler.restore(8, -1); }, "-1 good steps");
}

TEST(SumScale, IsTheNextPowerOfTwoBelowTheMeans) {
  EXPECT_EQ(sum_scale(1024, 1), 1024);
  EXPECT_EQ(sum_scale(1024, 2), 512);
  EXPECT_EQ(sum_scale(1024, 3), 256);
  EXPECT_EQ(sum_scale(1024, 4), 256);
  EXPECT_EQ(sum_scale(1024, 5), 128);
  EXPECT_EQ(sum_scale(1, 4096), 0x1p-12);
  EXPECT_EQ(sum_scale(8, 0), 8) << "of a step that has nothing to learn from";
}

}  // namespace
}  // namespace ranktune
