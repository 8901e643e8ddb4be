#include "train/stop_signal.h"

#include <gtest/gtest.h>

#include <csignal>

namespace ranktune {
namespace {

class StopSignalTest : public testing::TestWithParam<int> {};

TEST_P(StopSignalTest, IsRememberedInsteadOfEndingTheProcess) {
  const StopSignal guard;
  EXPECT_EQ(StopSignal::received(), 0);
  std::raise(GetParam());
  EXPECT_EQ(StopSignal::received(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Signals, StopSignalTest, testing::Values(SIGTERM, SIGUSR1, SIGUSR2, SIGINT));

TEST(StopSignal, ANewGuardHasReceivedNothing) {
  {
    const StopSignal guard;
    std::raise(SIGTERM);
  }
  const StopSignal guard;
  EXPECT_EQ(StopSignal::received(), 0);
}

TEST(StopSignal, WhatWasIgnoredBeforeIsIgnoredAfterwards) {
  std::signal(SIGUSR1, SIG_IGN);
  {
    const StopSignal guard;
    std::raise(SIGUSR1);
    EXPECT_EQ(StopSignal::received(), SIGUSR1);
  }
  EXPECT_EQ(std::signal(SIGUSR1, SIG_DFL), SIG_IGN);
}

TEST(StopSignalDeathTest, TheSecondInterruptEndsTheProcess) {
  EXPECT_EXIT(
      {
        const StopSignal guard;
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignalDeathTest, AfterItsEndSignalsWorkAsUsual) {
  EXPECT_EXIT(
      {
        { const StopSignal guard; }
        std::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace ranktune
