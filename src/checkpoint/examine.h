#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace ranktune {

/// What there is to know about a checkpoint folder, after reading all of it.
struct Examination {
  std::int64_t step = 0;
  std::string name{};       ///< "step-000120"
  std::uint64_t bytes = 0;  ///< that its files take
  std::optional<double> validation_loss{};
  std::filesystem::file_time_type written{};  ///< when its manifest was, or else the folder
  std::vector<std::string> faults{};          ///< each names its file; empty: it can be resumed from
  bool other_version = false;                 ///< whole, but not of a format this program reads

  bool valid() const { return faults.empty(); }
};

/// Looks at the manifest, every file's size and hash, and whether all optimizer parts are there. What is
/// wrong with the checkpoint is a fault; an Error only says that `folder` is no checkpoint folder at all.
Examination examine_checkpoint(const Path& folder);

/// The same for every checkpoint under `root`, ascending by step.
std::vector<Examination> examine_checkpoints(const Path& root);

/// The folder that holds the checkpoints: `path` itself, or `path`/checkpoints of a run folder. Throws where
/// there is neither.
Path checkpoints_folder(const Path& path);

}  // namespace ranktune
