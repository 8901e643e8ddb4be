#include "zero/lr_schedule.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

const Json& golden() {
  static const Json content = read_json_file(RANKTUNE_TEST_DATA "/zero/schedules.json");
  return content;
}

ScheduleKind kind_of(const std::string& name) {
  if (name == "constant") return ScheduleKind::kConstant;
  return name == "linear" ? ScheduleKind::kLinear : ScheduleKind::kCosine;
}

TEST(LrSchedule, GivesTheFactorsOfTransformers) {
  ASSERT_EQ(golden()["schedules"].size(), 24u);
  for (const Json& given : golden()["schedules"]) {
    const LrSchedule schedule(
        {.kind = kind_of(given["kind"]), .warmup_steps = given["warmup"], .min_lr_ratio = given["min_ratio"]},
        given["total"]);
    const auto factors = given["factors"].get<std::vector<double>>();
    for (std::size_t step = 0; step < factors.size(); ++step) {
      // The reference works in double as well; the minimum is applied in another order there.
      EXPECT_NEAR(schedule.factor(static_cast<std::int64_t>(step)), factors[step], 1e-15)
          << given["kind"] << " total " << given["total"] << " warmup " << given["warmup"] << " step "
          << step;
    }
  }
}

TEST(LrSchedule, RoundsTheWarmupRatioUpAsTransformersDoes) {
  for (const Json& given : golden()["ratios"]) {
    const LrSchedule schedule({.warmup_ratio = given["ratio"]}, given["total"]);
    EXPECT_EQ(schedule.warmup_steps(), given["warmup"].get<std::int64_t>());
  }
}

TEST(LrSchedule, StaysAtTheEndAfterTheLastStep) {
  const LrSchedule cosine({.kind = ScheduleKind::kCosine, .min_lr_ratio = 0.25}, 10);
  EXPECT_DOUBLE_EQ(cosine.factor(10), 0.25);
  EXPECT_DOUBLE_EQ(cosine.factor(15), 0.25);
  EXPECT_DOUBLE_EQ(LrSchedule({.kind = ScheduleKind::kLinear}, 10).factor(12), 0.0);
}

TEST(LrSchedule, RefusesImpossibleOptions) {
  expect_error([] { LrSchedule({}, 0); }, "at least 1 step");
  expect_error([] { LrSchedule({.warmup_ratio = 1.5}, 10); }, "warmup_ratio", "1.5");
  expect_error([] { LrSchedule({.min_lr_ratio = -0.1}, 10); }, "min_lr_ratio", "-0.1");
}

}  // namespace
}  // namespace ranktune
