#pragma once

#include <vector>

#include "app/adapter_settings.h"
#include "comm/mpi_session.h"
#include "comm/watchdog.h"
#include "config/run_config.h"
#include "train/injection.h"

namespace ranktune {

struct TrainingRunOptions {
  bool resume = true;  ///< go on from the newest valid checkpoint; else a run.dir with checkpoints is refused
  bool allow_template_mismatch = false;  ///< warn, not fail, where template and model files disagree
  std::vector<Fault> faults = {};        ///< to be suffered on purpose
  GivenKeys given{};                     ///< what the user has configured; the rest are defaults
};

/// One training run from configuration to adapter; all ranks of the session call it, and `watchdog` takes its
/// leave in it. Returns the exit code: done, or interrupted with a checkpoint. Leaves in run.dir: adapter/
/// (or model/ after full fine-tuning), metrics.jsonl, checkpoints/, config.json and, last, done.json.
int run_training(const MpiSession& session, Watchdog& watchdog, const RunConfig& config,
                 const TrainingRunOptions& options);

}  // namespace ranktune
