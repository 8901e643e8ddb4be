#include "comm/activity.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "comm/abort_signal.h"

namespace ranktune {
namespace {

constexpr std::chrono::milliseconds kNap(30);
constexpr double kNapSeconds = 0.03;

TEST(Activity, PhasesHaveNames) {
  EXPECT_EQ(phase_name(Phase::kStart), "start");
  EXPECT_EQ(phase_name(Phase::kReduceScatter), "reduce_scatter");
  EXPECT_EQ(phase_name(Phase::kCheckpoint), "checkpoint");
  EXPECT_EQ(phase_name(Phase::kFinish), "finish");
  EXPECT_EQ(phase_name(static_cast<Phase>(99)), "unknown");
  EXPECT_EQ(phase_name(static_cast<Phase>(-1)), "unknown");
}

TEST(Activity, ReportsPhaseStepAndTimes) {
  Activity activity;
  activity.enter(Phase::kBackward, 41);
  std::this_thread::sleep_for(kNap);
  ActivityReport report = activity.report();
  EXPECT_EQ(report.phase, Phase::kBackward);
  EXPECT_EQ(report.step, 41);
  EXPECT_GE(report.since_progress, kNapSeconds);
  EXPECT_LT(report.waiting, 0);
  activity.progress();
  EXPECT_LT(activity.report().since_progress, report.since_progress);
}

TEST(Activity, IsReportedAsOfAMoment) {
  Activity activity;
  std::this_thread::sleep_for(kNap);
  const auto then = std::chrono::steady_clock::now();
  EXPECT_GE(activity.report(then).since_progress, kNapSeconds);
  activity.begin_wait();
  activity.progress();
  std::this_thread::sleep_for(kNap);
  EXPECT_EQ(activity.report(then).waiting, 0);
  EXPECT_EQ(activity.report(then).since_progress, 0);
}

TEST(Activity, AWaitCountsAloneAndWhatFollowsItIsNewWork) {
  Activity activity;
  {
    const ScopedWait wait(&activity);
    std::this_thread::sleep_for(kNap);
    EXPECT_GE(activity.report().waiting, kNapSeconds);
  }
  const ActivityReport report = activity.report();
  EXPECT_LT(report.waiting, 0);
  EXPECT_LT(report.since_progress, kNapSeconds);
  const ScopedWait nothing(nullptr);
}

TEST(Activity, ForgivenTimeDoesNotCountAndNeverTurnsNegative) {
  Activity activity;
  activity.begin_wait();
  std::this_thread::sleep_for(kNap);
  activity.forgive(kNapSeconds / 2);
  EXPECT_GE(activity.report().waiting, kNapSeconds / 2);
  activity.forgive(1000);
  EXPECT_EQ(activity.report().waiting, 0);
  EXPECT_EQ(activity.report().since_progress, 0);
}

TEST(AbortSignal, KeepsTheFirstReason) {
  AbortSignal signal;
  signal.check("all_reduce");
  signal.raise("the cable was cut");
  signal.raise("something later");
  EXPECT_TRUE(signal.raised());
  try {
    signal.check("all_reduce");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "all_reduce was given up: the cable was cut");
  }
}

}  // namespace
}  // namespace ranktune
