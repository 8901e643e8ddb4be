#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/manifest.h"

namespace ranktune {

/// Steps of the folders under `root` that are named like checkpoints, ascending; none where root does not
/// exist.
std::vector<std::int64_t> list_checkpoints(const Path& root);

struct SkippedCheckpoint {
  std::string name;
  std::string reason;
};

struct CheckpointSearch {
  std::optional<Manifest> found;           ///< of the newest checkpoint whose files all verify
  std::vector<SkippedCheckpoint> skipped;  ///< newer ones that do not, or are unfit, newest first
};

/// Why a checkpoint that verifies is not wanted; "" where it is.
using UnfitReason = std::function<std::string(const Path& folder, const Manifest& manifest)>;

/// Looks at the folders themselves; no pointer file is trusted. Throws OtherFormat where it comes to a
/// checkpoint of another version first. Reads whole checkpoints, and calls `progress` now and then.
CheckpointSearch find_latest(const Path& root, const std::function<void()>& progress = {},
                             const UnfitReason& unfit = {});

}  // namespace ranktune
