#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/find_latest.h"
#include "checkpoint/snapshot.h"
#include "checkpoint/visibility.h"
#include "comm/communicator.h"

namespace ranktune {

struct LoadSetup {
  Path root;
  CheckpointIdentity identity;
  FlatRange range;           ///< the part of the optimizer state this rank owns
  bool need_master = false;  ///< the optimizer keeps a master apart from the working parameters
  std::chrono::milliseconds visibility_patience = kVisibilityPatience;
  std::function<void()> progress = {};  ///< called now and then while files are read; may be empty
  /// Why not to go on from a checkpoint after so many steps with this trainer.json, though it verifies; "" to
  /// do so. Called on rank 0; may be empty.
  std::function<std::string(std::int64_t step, const Json& trainer)> unfit = {};
};

struct LoadedCheckpoint {
  std::int64_t step = 0;
  Path folder;  ///< for the trainer's own files
  Json trainer;
  OptimizerSnapshot optimizer;
  std::vector<SkippedCheckpoint> skipped;  ///< newer ones that did not verify; logged as warnings by rank 0
};

/// The newest checkpoint under root that verifies and is fit, or nothing. Rank 0 looks and verifies, all
/// ranks load the one it found; each reads only those bytes of the optimizer files that overlap its range,
/// whatever the rank count that wrote them. Throws on every rank where the newest is of another version's
/// format, where the layout or the base model differ (the message names both sides), or where a rank cannot
/// read its part. Collective over `control`, which serves host memory.
std::optional<LoadedCheckpoint> load_latest(const LoadSetup& setup, Communicator& control);

}  // namespace ranktune
