#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/file.h"

namespace ranktune {

/// Exit code of a run that another start of it has taken the place of. Persistent: scripts test it.
inline constexpr int kExitFenced = 76;

/// Seconds.
struct LeaseTiming {
  double renewal = 2;    ///< between two signs of life
  double expiry = 20;    ///< without one: the owner counts as dead
  double patience = 10;  ///< how long a new start waits for an owner that lives, as it may be about to end
};

/// Who may write into a run's folder: one process at a time, rank 0 of the newest attempt of the run.
///
/// Attempt N owns the run while run.dir/owner/attempt-N.json is there and no higher one. Rank 0 makes that
/// file with link(2), of which only one of several succeeds on any filesystem, NFS included; touches it as a
/// sign of life; and renames it when it ends. The next attempt takes over where the owner has ended, is known
/// to be dead (same machine: its process; Slurm: an earlier start of the same job), or has given no sign of
/// life for `expiry` seconds, by its own clock: clocks of machines are never compared,
/// and of the time between two looks (0.2 s and what the filesystem takes) at most a second counts.
///
/// No span of time makes this safe, for a stopped process may go on at any moment. What does: the successor
/// removes the predecessor's file, then everything the predecessor has prepared (temporaries of its attempt).
/// The predecessor looks for its file (require_owner) after it has prepared something and before the rename
/// that makes it visible: either it finds its file gone, or what it renames was there when the successor
/// removed it, and the rename fails.
///
/// Used by rank 0 alone.
class RunLease {
 public:
  static constexpr const char* kFolder = "owner";  ///< in run.dir
  struct Setup {
    Path run;  ///< run.dir, which exists
    LeaseTiming timing = {};
    std::function<void()> progress = {};  ///< called every now and then while take() waits
    /// Called once, from any thread, when another attempt than this one, `own_attempt`, has taken over; the
    /// text says which. It is to end the process.
    std::function<void(std::int64_t own_attempt, const std::string& why)> lost = {};
  };
  /// Becomes the owner, and gives signs of life from then on. Throws Error that names the owner, where one
  /// lives, with the remedy.
  static std::unique_ptr<RunLease> take(Setup setup);
  RunLease(const RunLease&) = delete;
  RunLease& operator=(const RunLease&) = delete;
  /// Gives the run back: the next attempt need not wait. Before commit() the folder is left as it was found.
  ~RunLease();

  std::int64_t attempt() const;
  /// The predecessor may still be running: what it has prepared must go before anything is read.
  bool predecessor_may_run() const;
  /// The start has passed all checks: removes the predecessors' files.
  void commit();
  /// Throws where it cannot be told whether this process still owns the run, and where it does not: then it
  /// calls lost() before.
  void require_owner();

 private:
  class Impl;
  explicit RunLease(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ranktune
