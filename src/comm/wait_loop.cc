#include "comm/wait_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"

namespace ranktune {

void WaitLoop::pause() {
  using std::chrono::microseconds;
  // Most calls end within microseconds. After that the core may be needed by a rank that is still working,
  // and soon this is a wait for slow work, where 50 us more do not matter; on a busy machine a sleeper even
  // comes back sooner than one who yields.
  constexpr microseconds kSpin(20), kYield(500), kLongWait(5000), kShortNap(50), kLongNap(500);
  // More than this between two looks is time in which the whole process was stopped: it was no wait.
  constexpr microseconds kMostBetweenLooks(250'000);
  signal_.check(call_);
  const auto now = std::chrono::steady_clock::now();
  waited_ +=
      std::min<std::chrono::steady_clock::duration>(now - std::exchange(last_look_, now), kMostBetweenLooks);
  if (limits_.timeout > 0 && waited_ > std::chrono::duration<double>(limits_.timeout)) {
    const std::string reason =
        fmt::format("{} on rank {} has waited for other ranks for {:.0f} s (comm.timeout)", call_, rank_,
                    limits_.timeout);
    signal_.raise(reason);
    throw Error(reason);
  }
  if (waited_ < kSpin) return;
  if (limits_.background) {
    std::this_thread::sleep_for(waited_ < kLongWait ? kShortNap : kLongNap);
  } else if (waited_ < kYield) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(kShortNap);
  }
}

}  // namespace ranktune
