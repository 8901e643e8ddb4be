#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"

namespace ranktune {

/// One thing in which two checkpoints differ.
struct CheckpointDifference {
  std::string what;    ///< "adapter_model.safetensors: …lora_A.weight", "trainer.json: config.optimizer.lr"
  std::string change;  ///< "12 of 96 elements, by up to 3.1e-05", "0.0001 -> 0.0002", "only in the first"
};

struct CheckpointComparison {
  std::vector<CheckpointDifference> differences;
  std::int64_t tensors = 0;  ///< that were compared: weights, and each part of the optimizer state
  double largest = 0;        ///< absolute difference of two finite elements in any of them
};

/// Compares weights and optimizer state element by element (whatever numbers of ranks wrote them) and the
/// JSON files field by field. Both are folders of checkpoints; throws where one of them cannot be read.
CheckpointComparison compare_checkpoints(const Path& first, const Path& second);

}  // namespace ranktune
