#include "comm/wait_loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(WaitLoop, EndsAtItsLimitAndRaisesTheSignal) {
  AbortSignal signal;
  WaitLoop loop("all_reduce", 3, signal, {.timeout = 0.3});
  expect_error(
      [&] {
        for (;;) loop.pause();
      },
      "all_reduce on rank 3 has waited for other ranks", "comm.timeout");
  EXPECT_TRUE(signal.raised());
}

TEST(WaitLoop, TimeInWhichTheProcessWasStoppedIsNoWait) {
  AbortSignal signal;
  WaitLoop loop("all_reduce", 3, signal, {.timeout = 0.6});
  loop.pause();
  std::this_thread::sleep_for(std::chrono::seconds(1));  // as good as stopped: it does not look
  EXPECT_NO_THROW(loop.pause());
}

TEST(WaitLoop, ASignalRaisedElsewhereEndsIt) {
  AbortSignal signal;
  WaitLoop loop("barrier", 0, signal, {});
  loop.pause();
  signal.raise("the cable was cut");
  expect_error([&] { loop.pause(); }, "the cable was cut");
}

}  // namespace
}  // namespace ranktune
