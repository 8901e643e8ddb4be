#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace ranktune {

/// What the main thread of a rank is doing, as the watchdog reports it.
enum class Phase : std::int64_t {
  kStart,
  kLoadModel,
  kLoadCheckpoint,
  kData,
  kForward,
  kBackward,
  kReduceScatter,
  kOptimizer,
  kAllGather,
  kValidation,
  kCheckpoint,
  kExport,
  kFinish,
};

/// "start", "load_model", "reduce_scatter" ...; "unknown" for a value out of range.
std::string_view phase_name(Phase phase) noexcept;

/// A moment's picture of an Activity. Times are seconds.
struct ActivityReport {
  Phase phase = Phase::kStart;
  std::int64_t step = 0;
  double since_progress = 0;  ///< since the last enter() or progress()
  double waiting = -1;        ///< how long it has been waiting for other ranks; negative: it is not
};

/// What one rank is doing: written by its main thread (a few relaxed atomic stores), read by the watchdog's
/// thread.
class Activity {
 public:
  Activity();
  /// A new phase, or the same one in a new step.
  void enter(Phase phase, std::int64_t step) noexcept;
  /// The phase is long but moves on: one more file read, one more shard written.
  void progress() noexcept;
  void begin_wait() noexcept;
  void end_wait() noexcept;
  /// Takes time in which the whole process was stopped out of the account. For the watchdog's thread.
  void forgive(double seconds) noexcept;
  /// Its times as of this moment: what has happened since counts as just then.
  ActivityReport report(
      std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now()) const noexcept;

 private:
  std::atomic<std::int64_t> phase_, step_, progress_ns_;
  std::atomic<std::int64_t> waiting_ns_ = 0;  ///< when the wait began; 0 while not waiting
};

/// Marks the main thread as waiting for other ranks for as long as it lives. Communicators made with an
/// Activity do this themselves; it is needed by hand only around other waits that depend on other ranks (a
/// queue that another thread fills from the network). Not nested. A null activity marks nothing.
class ScopedWait {
 public:
  explicit ScopedWait(Activity* activity) noexcept : activity_(activity) {
    if (activity_ != nullptr) activity_->begin_wait();
  }
  ScopedWait(const ScopedWait&) = delete;
  ScopedWait& operator=(const ScopedWait&) = delete;
  ~ScopedWait() {
    if (activity_ != nullptr) activity_->end_wait();
  }

 private:
  Activity* activity_;
};

}  // namespace ranktune
