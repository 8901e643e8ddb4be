#include "app/run_ownership.h"

#include <filesystem>
#include <system_error>

#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/retention.h"
#include "comm/collectives.h"

namespace ranktune {

RunOwnership::RunOwnership(const TrainingJob& job, RunFolder& folder) : job_(job), folder_(folder) {
  together(job_.control, [this] {
    if (job_.root()) take();
  });
  attempt_ = broadcast_value(job_.control, attempt_, 0);
}

void RunOwnership::take() {
  lease_ = RunLease::take(
      {.run = folder_.root(),
       .progress = [this] { job_.watchdog.progress(); },
       .lost = [this](std::int64_t attempt, const std::string& why) { end_as_fenced(attempt, why); }});
  attempt_ = lease_->attempt();
  folder_.write_as(attempt_, [this] { require_owner(); });
  if (lease_->predecessor_may_run()) remove_leftovers();
}

void RunOwnership::remove_leftovers() const {
  folder_.remove_leftovers();
  remove_stale_temporaries(folder_.checkpoints(), attempt_);
}

void RunOwnership::commit() const {
  lease_->commit();
  remove_leftovers();
}

/// Called on rank 0 by any thread: other attempts' files are left alone, its own unfinished ones go.
void RunOwnership::end_as_fenced(std::int64_t own_attempt, const std::string& why) const {
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(folder_.checkpoints(), ignored), end; entry != end;
       entry.increment(ignored)) {
    const auto name = parse_temporary_name(entry->path().filename().string());
    if (name && name->attempt == own_attempt) std::filesystem::remove_all(entry->path(), ignored);
  }
  MpiSession::end_job(kExitFenced, why);
}

}  // namespace ranktune
