#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "zero/optimizer_snapshot.h"

namespace ranktune {

/// A file the trainer adds to a checkpoint (adapter, configuration, weights). `write` creates it at the path
/// given and uses host memory it holds itself, so that it may run later and on another thread.
struct CheckpointFile {
  std::string name;
  std::uint64_t bytes = 0;  ///< about how large it will be, for the check of free space
  std::function<void(const Path&)> write;
};

/// Everything a checkpoint is made of, in host memory: what a writer needs, without device or LibTorch.
struct CheckpointSnapshot {
  std::int64_t step = 0;
  std::optional<double> validation_loss;
  OptimizerSnapshot optimizer;        ///< this rank's part
  std::vector<CheckpointFile> files;  ///< rank 0's are written; ignored elsewhere
  /// rank 0's is written: data position, seeds, scaler state, config text … save adds format, step, layout
  /// and base_hash, whose keys the trainer must not use.
  OrderedJson trainer = OrderedJson::object();
};

/// What a checkpoint must fit to be loaded.
struct CheckpointIdentity {
  FlatLayout layout;
  std::string base_hash;  ///< of the frozen model the training started from
};

}  // namespace ranktune
