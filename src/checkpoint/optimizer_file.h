#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/checkpoint_paths.h"
#include "zero/optimizer_snapshot.h"

namespace ranktune {

/// Writes one partition's state: safetensors with exp_avg, exp_avg_sq and (where distinct) master, F32
/// [elements of the partition]; metadata begin, end, total, updates and layout say what it is.
void write_optimizer_file(const Path& path, const OptimizerSnapshot& state, const std::string& layout_hash);

/// About how many bytes write_optimizer_file() will write.
std::uint64_t optimizer_file_bytes(const OptimizerSnapshot& state);

/// Which state to read, and from where.
struct OptimizerReadPlan {
  Path folder;
  int parts = 1;  ///< partitions that were saved
  std::string layout_hash;
  std::int64_t total = 0;  ///< elements of the layout
  FlatRange range;         ///< elements wanted
  bool need_master = false;
  std::function<void()> progress = {};  ///< called now and then; may be empty
};

/// Puts the range together from the files of the parts that overlap it, reading no other bytes than their
/// headers. Errors name the file and what does not fit.
OptimizerSnapshot read_optimizer_range(const OptimizerReadPlan& plan);

}  // namespace ranktune
