#pragma once

#include <torch/types.h>

#include <vector>

#include "base/file.h"
#include "verify/figure.h"

namespace ranktune {

/// A folder about a real model that is had as GGUF: tensors.json (hashes of the file and of every dequantised
/// tensor), generation.json (prompts with text, ids, loss, logits and greedy continuation), either or both.
/// The GGUF that tensors.json names is looked for in the folder itself and in `places`, and imported with
/// fp32 weights into a folder that is removed afterwards.
void check_gguf_folder(const Path& folder, const std::vector<Path>& places, torch::Device device,
                       Findings& findings);

}  // namespace ranktune
