#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/run_folder.h"
#include "app/trained_model.h"
#include "app/training_data.h"
#include "app/training_job.h"
#include "base/json.h"
#include "checkpoint/load.h"
#include "train/step_guard.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {

/// What a run's position is of; all of it outlives it.
struct PositionParts {
  const RunFolder& folder;
  const DataFacts& facts;
  TrainedModel& model;
  Zero2Optimizer& optimizer;
};

/// Where a run goes on: at its beginning or after a checkpoint, whose values it gives to model and optimizer.
/// What it says is the same on every rank; its construction and go_back() are collective.
class RunPosition {
 public:
  /// After the newest checkpoint that verifies where `resume`; else there must be none.
  RunPosition(const TrainingJob& job, const PositionParts& parts, bool resume);

  bool at_beginning() const { return !checkpoint_; }
  /// Steps done.
  std::int64_t step() const { return checkpoint_ ? checkpoint_->step : 0; }
  /// The checkpoint's folder and its trainer.json: not at the beginning.
  const Path& folder() const { return checkpoint_->folder; }
  const Json& trainer() const { return checkpoint_->trainer; }
  /// What earlier lives of this run went back for.
  const std::vector<Rewind>& rewinds() const { return rewinds_; }

  /// Back to the newest checkpoint that verifies and has nothing of what these rewinds leave out, for the
  /// last of them.
  void go_back(const std::vector<Rewind>& rewinds);

 private:
  std::optional<LoadedCheckpoint> newest_checkpoint();
  void take_up(LoadedCheckpoint found);
  void read_rewinds();
  void require_no_checkpoints() const;
  std::string unfit(std::int64_t step, const Json& trainer) const;

  const TrainingJob& job_;
  PositionParts parts_;
  std::optional<LoadedCheckpoint> checkpoint_;
  std::vector<Rewind> rewinds_;
};

}  // namespace ranktune
