#include "base/awake_time.h"

#include <gtest/gtest.h>

#include <thread>

namespace ranktune {
namespace {

using std::chrono::milliseconds;

TEST(AwakeTime, AddsUpTheTimeBetweenLooks) {
  AwakeTime time(std::chrono::hours(1));
  EXPECT_EQ(time.seconds(), 0);
  std::this_thread::sleep_for(milliseconds(30));
  const double first = time.look();
  EXPECT_GE(first, 0.03);
  EXPECT_EQ(time.seconds(), first);
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_GE(time.look(), first + 0.03);
}

TEST(AwakeTime, ALongGapCountsAsTheMostThereMayBe) {
  AwakeTime time(milliseconds(10));
  for (int gap = 1; gap <= 2; ++gap) {
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_NEAR(time.look(), 0.01 * gap, 1e-9);
  }
}

}  // namespace
}  // namespace ranktune
