#pragma once

#include <cstddef>
#include <vector>

#include "base/file.h"
#include "verify/check_trajectory.h"
#include "verify/figure.h"

namespace ranktune {

/// Recorded numbers below the folders that were asked for.
struct Records {
  std::vector<Path> models;  ///< folders with golden.safetensors (see GoldenModel)
  std::vector<Path> ggufs;   ///< folders with tensors.json or generation.json (see check_gguf_folder)
  std::vector<Path> texts;   ///< *.jsonl (see check_text_file)

  std::size_t count() const { return models.size() + ggufs.size() + texts.size(); }
};

/// Looks through the folders and everything below them, in the order of the names. Error for a path that is
/// no folder and no .jsonl file.
Records find_records(const std::vector<Path>& roots);

/// Places of what records need beside themselves; "" for none.
struct VerifyPlaces {
  Path tokenizers;  ///< holds NAME/tokenizer.json or NAME/qwen.tiktoken for tokenizers/NAME.jsonl
  Path models;      ///< holds the GGUF files
};

/// Everything recorded about one model: all of it that ranks other than 0 have no part in runs on rank 0
/// alone, trajectories run on all ranks. Collective. What could not be compared is a failure among the
/// findings, also tensors that are recorded but not understood. In bf16 and fp16: logits, losses, hidden
/// states and the gradients of adapters, within limits_of that type; the rest is recorded in fp32 and
/// follows from its last bits.
void verify_model(const Path& folder, torch::ScalarType dtype, const TrajectoryRanks& ranks,
                  Findings& findings);

/// All records, `models` in that compute type (GGUF models always in fp32); collective. Rank 0 has the
/// findings.
void verify_records(const Records& records, torch::ScalarType dtype, const VerifyPlaces& places,
                    const TrajectoryRanks& ranks, Findings& findings);

}  // namespace ranktune
