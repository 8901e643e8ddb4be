#pragma once

#include <cstdint>
#include <memory>

#include "comm/activity.h"
#include "comm/comm_options.h"
#include "comm/mpi_session.h"

namespace ranktune {

/// Ends the job when a rank is dead, stopped or stuck, instead of letting it sit on the allocation.
///
/// A thread on every rank exchanges signs of life over a communicator of its own: all ranks with rank 0,
/// which judges (stall_judge.h); the others watch rank 0. A rank unheard of for options.timeout seconds, or
/// one whose phase has not moved on for that long while others have waited that long for it, is named in one
/// line on stderr, and the job ends with exit code 1. Ranks that are slow together, none waiting for another,
/// are left alone. (A killed rank is noticed earlier, by the launcher.) The threads sleep between polls of 50
/// ms or more.
///
/// Construction and stop() are collective over the session's world. Only the main thread calls these
/// functions.
class Watchdog {
 public:
  Watchdog(const MpiSession& session, const CommOptions& options);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  /// Without stop() before (an error passing through): ends the thread without waiting for the other ranks.
  ~Watchdog();

  void enter(Phase phase, std::int64_t step) noexcept { activity_.enter(phase, step); }
  void progress() noexcept { activity_.progress(); }
  /// For communicators and ScopedWait.
  Activity* activity() noexcept { return &activity_; }

  /// The orderly end: returns when every rank has called it (a rank that does not is judged like any other).
  void stop();

 private:
  class Impl;
  Activity activity_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ranktune
