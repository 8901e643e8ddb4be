#pragma once

#include <cstdint>

namespace ranktune {

struct CheckpointOptions {
  std::int64_t every = 100;  ///< steps between checkpoints
  std::int64_t keep = 3;     ///< newest checkpoints that stay; at least 1
  bool keep_best = true;     ///< the one of the lowest validation loss stays as well
};

}  // namespace ranktune
