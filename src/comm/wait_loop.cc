#include "comm/wait_loop.h"

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <thread>

#include "base/error.h"

namespace ranktune {

void WaitLoop::pause() {
  using std::chrono::microseconds;
  // Most calls end within microseconds. After that the core may be needed by a rank that is still working,
  // and soon this is a wait for slow work, where 50 us more do not matter; on a busy machine a sleeper even
  // comes back sooner than one who yields.
  constexpr microseconds kSpin(20), kYield(500), kLongWait(5000), kShortNap(50), kLongNap(500);
  signal_.check(call_);
  const std::chrono::duration<double> waited(waited_.look());
  if (limits_.timeout > 0 && waited.count() > limits_.timeout) {
    const std::string reason =
        fmt::format("{} on rank {} has waited for other ranks for {:.0f} s (comm.timeout)", call_, rank_,
                    limits_.timeout);
    signal_.raise(reason);
    throw Error(reason);
  }
  if (waited < kSpin) return;
  if (limits_.background) {
    std::this_thread::sleep_for(waited < kLongWait ? kShortNap : kLongNap);
  } else if (waited < kYield) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(kShortNap);
  }
}

}  // namespace ranktune
