#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/checkpoint_options.h"

namespace ranktune {

/// A checkpoint as far as choosing which to keep needs it.
struct RetentionCandidate {
  std::int64_t step = 0;
  std::optional<double> validation_loss;
};

/// Steps to remove: all but the newest `keep` and the `keep_best` of the lowest validation losses, of equal
/// ones the earliest.
std::vector<std::int64_t> steps_to_remove(std::vector<RetentionCandidate> candidates,
                                          const CheckpointOptions& options);

/// Removes one checkpoint; false (and a logged warning) where it cannot be. Half removed, it no longer has a
/// checkpoint's name.
bool remove_checkpoint(const Path& root, std::int64_t step);

/// Applies the rule to the folders under `root`; those without a readable manifest count towards nothing and
/// stay for a person to look at. Returns the names removed; a folder that cannot be removed is a logged
/// warning. One process at a time.
std::vector<std::string> prune_checkpoints(const Path& root, const CheckpointOptions& options);

/// Removes what killed attempts left behind: temporaries of attempts up to `attempt`, and checkpoints set
/// aside for a successor; one whose successor never came gets its name back. Returns the names removed.
std::vector<std::string> remove_stale_temporaries(const Path& root, std::int64_t attempt);

}  // namespace ranktune
