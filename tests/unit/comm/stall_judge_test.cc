#include "comm/stall_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ranktune {
namespace {

using testing::HasSubstr;

constexpr double kTimeout = 60;

RankState working(double seconds) {
  return {.activity = {.phase = Phase::kForward, .step = 41, .since_progress = seconds}};
}
RankState waiting(double seconds) {
  return {.activity = {
              .phase = Phase::kReduceScatter, .step = 41, .since_progress = seconds, .waiting = seconds}};
}
RankState silent(double seconds) {
  RankState state = waiting(1);
  state.silent = seconds;
  return state;
}

std::optional<StallVerdict> judge(const std::vector<RankState>& ranks) { return find_stall(ranks, kTimeout); }

TEST(FindStall, AllSlowTogetherIsNoStall) {
  EXPECT_FALSE(judge({working(500), working(400), working(1000)}));
  EXPECT_FALSE(judge({working(500), waiting(59), working(1000)}));
  EXPECT_FALSE(judge({waiting(59), waiting(100)}))
      << "the last to come may only just have begun its transfer";
  EXPECT_FALSE(judge({}));
}

TEST(FindStall, ARankThatMovesOnIsNoStallHoweverLongOthersWait) {
  EXPECT_FALSE(judge({waiting(500), working(5), waiting(400)}));
}

TEST(FindStall, TheRankThatOthersWaitForIsNamed) {
  const auto verdict = judge({waiting(63), waiting(64), working(65), working(3)});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_EQ(verdict->finding, "has been in phase forward (step 41) for 65 s, and 2 other ranks wait for it");
}

TEST(FindStall, OfSeveralStuckRanksTheLongest) {
  EXPECT_EQ(judge({waiting(63), working(100), working(200), working(150)})->rank, 2);
  EXPECT_THAT(judge({waiting(63), working(100)})->finding, HasSubstr("1 other rank waits for it"));
}

TEST(FindStall, ASilentRankIsNamedBeforeAllElse) {
  const auto verdict = judge({waiting(100), silent(63), silent(64), working(300)});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_EQ(verdict->finding, "has not answered for 64 s (last in phase reduce_scatter (step 41))");
  EXPECT_FALSE(judge({silent(60), silent(10)}));
}

TEST(FindStall, AllWaitingForLongerThanTheLimitIsADeadlock) {
  const auto verdict = judge({waiting(70), waiting(80), waiting(61)});
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->finding,
              HasSubstr("waiting in phase reduce_scatter (step 41) for 80 s, and all others"));
}

TEST(FindStall, FinishedRanksAreOutOfIt) {
  RankState gone = silent(1000);
  gone.finished = true;
  EXPECT_FALSE(judge({gone, working(500)}));
  gone.activity.waiting = 1000;
  EXPECT_FALSE(judge({gone, working(500)}));
  EXPECT_EQ(judge({gone, waiting(70)})->rank, 1);
}

}  // namespace
}  // namespace ranktune
