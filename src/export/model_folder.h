#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/file.h"
#include "export/final_weights.h"
#include "storage/new_folder.h"
#include "text/chat_template.h"

namespace ranktune {

struct ModelFolderOptions {
  NewFolderOptions folder{};                    ///< to be made
  Path base;                                    ///< the model folder that it was made from
  std::optional<ChatTemplate> chat_template{};  ///< see ModelTextsOptions
  std::optional<DType> dtype{};                 ///< of all weights; nothing: each as `stored`
  std::uint64_t max_shard_bytes = 5'000'000'000;
  std::function<void()> progress{};  ///< called after each weight; may be empty
};

/// A Hugging Face model folder: the weights (sharded, each rounded once to its type) with the texts that
/// model_texts makes. It appears under its name when whole. Needs memory for a piece of a weight beside what
/// the weights themselves hold. Throws where the disk has not enough space for it, before it writes.
void write_model_folder(const ModelFolderOptions& options, const std::vector<FinalWeight>& weights);

}  // namespace ranktune
