#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"

namespace ranktune {

struct RepairOptions {
  bool dry_run = false;  ///< only say what would be done
  /// What was changed within this time may belong to a run that is alive: then nothing is touched.
  std::chrono::seconds quiet{600};
  std::function<void()> allowed = {};  ///< called before each change; throws where it may not be made
};

struct Repair {
  std::vector<std::string> done;  ///< a line each, for people
  std::vector<std::string> left;  ///< what stays as it is, and why
};

/// Puts a folder of checkpoints right after crashes and damage, so that the next resume finds nothing to
/// skip:
/// - a checkpoint set aside for a successor that never came, or came damaged, gets its name back;
/// - a temporary folder that lacked nothing but its name, and is newer than every valid checkpoint, gets it;
/// - other leftovers of dead attempts are removed;
/// - damaged checkpoints are set aside under a name that is never resumed from (bad_name()).
/// Checkpoints of other versions stay, and so do damaged ones where no valid one is left to go on from.
/// Throws where a run may still be writing here.
Repair repair_checkpoints(const Path& root, const RepairOptions& options);

}  // namespace ranktune
