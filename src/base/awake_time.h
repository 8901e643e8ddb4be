#pragma once

#include <algorithm>
#include <chrono>

namespace ranktune {

/// How long this process has waited, by the looks it takes at the clock: of the time between two of them at
/// most `most_between` counts. In a longer gap it did not run (a suspended job, a machine asleep), and so did
/// not wait.
class AwakeTime {
 public:
  using Clock = std::chrono::steady_clock;

  explicit AwakeTime(Clock::duration most_between) noexcept : most_between_(most_between) {}

  /// Seconds up to now.
  double look() noexcept {
    const Clock::time_point now = Clock::now();
    waited_ += std::min(now - last_look_, most_between_);
    last_look_ = now;
    return seconds();
  }
  /// Seconds up to the last look.
  double seconds() const noexcept { return std::chrono::duration<double>(waited_).count(); }

 private:
  Clock::duration most_between_, waited_{};
  Clock::time_point last_look_ = Clock::now();
};

}  // namespace ranktune
