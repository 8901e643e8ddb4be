#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/checkpoint_options.h"
#include "checkpoint/snapshot.h"
#include "checkpoint/visibility.h"
#include "comm/communicator.h"

namespace ranktune {

/// Moments of a save.
enum class SaveStage {
  kBegin,    ///< rank 0: before anything is made or removed
  kFiles,    ///< every rank: in the middle of its own files
  kPublish,  ///< every rank: all files are written; rank 0 gives the folder its name when this has passed
  kPrune,    ///< rank 0: before older checkpoints are removed; an error here leaves them
  kFailed,   ///< rank 0: before a failure is reported; an error here ends the training
};

struct SaveSetup {
  Path root;  ///< holds the step folders; on a filesystem that all ranks see
  CheckpointOptions options;
  CheckpointIdentity identity;
  std::int64_t attempt = 0;  ///< which start of the run this is; part of temporary names
  std::chrono::milliseconds visibility_patience = kVisibilityPatience;
  /// Called at each of these moments; an error thrown there is a failure of the save (see kPrune, kFailed).
  /// May be empty.
  std::function<void(SaveStage, std::int64_t step)> at_stage = {};
  std::function<void()> progress = {};  ///< called now and then while this rank writes; may be empty
};

/// The rank that took longest to write its own files.
struct SlowestWriter {
  int rank = 0;
  std::string host;
  double seconds = 0.0;
};

/// The same on every rank.
struct SaveResult {
  bool saved = false;
  std::string name;     ///< "step-000120"
  std::string failure;  ///< "rank 1 (host n2): …" where not saved; logged as a warning as well
  std::uint64_t bytes = 0;
  double seconds = 0.0;
  SlowestWriter slowest = {};       ///< where saved
  std::vector<std::string> pruned;  ///< rank 0 only
};

/// Writes a checkpoint under root, or none: into a temporary folder, every file fsynced and hashed, the
/// manifest last, then one rename after all ranks agreed that they succeeded and see each other's files. A
/// failure on any rank is returned on all of them, removes the temporary folder and leaves earlier
/// checkpoints alone. Collective over `control`, which serves host memory.
SaveResult save_checkpoint(const SaveSetup& setup, const CheckpointSnapshot& snapshot, Communicator& control);

}  // namespace ranktune
