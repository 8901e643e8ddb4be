#pragma once

#include <cstdint>

namespace ranktune {

struct CheckpointOptions {
  std::int64_t every = 100;    ///< steps between checkpoints
  std::int64_t keep = 3;       ///< newest checkpoints that stay; at least 1
  std::int64_t keep_best = 1;  ///< those of the lowest validation losses that stay as well; 0: none
};

}  // namespace ranktune
