#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "app/run_folder.h"
#include "app/training_job.h"
#include "ownership/run_lease.h"

namespace ranktune {

/// The right to write into run.dir, which rank 0 holds for the job, and the number of this attempt of the
/// run.
class RunOwnership {
 public:
  /// Rank 0 becomes the one process that may write into `folder`, which asks for leave from then on;
  /// everybody learns which attempt this is. Collective; throws where another start of the run is alive.
  RunOwnership(const TrainingJob& job, RunFolder& folder);
  RunOwnership(const RunOwnership&) = delete;
  RunOwnership& operator=(const RunOwnership&) = delete;

  std::int64_t attempt() const { return attempt_; }
  /// Throws where this attempt is no longer to write. Any thread; says nothing on ranks other than 0.
  void require_owner() const {
    if (lease_) lease_->require_owner();
  }
  /// Rank 0: the start has passed all checks, so what earlier attempts have left goes.
  void commit() const;

 private:
  void take();
  void remove_leftovers() const;
  [[noreturn]] void end_as_fenced(std::int64_t own_attempt, const std::string& why) const;

  const TrainingJob& job_;
  RunFolder& folder_;
  std::int64_t attempt_ = 0;
  std::unique_ptr<RunLease> lease_;  // rank 0; last, as its thread uses the others
};

}  // namespace ranktune
