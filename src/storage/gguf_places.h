#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/gguf_model.h"

namespace ranktune {

/// A tensor of such a model by both of its names.
struct GgufPlace {
  std::string gguf;  ///< "blk.0.attn_q.weight"
  std::string name;  ///< in the Hugging Face folder
  std::vector<std::int64_t> shape;
  std::int64_t rotary_heads = 0;  ///< see GgufSource
};

/// Every tensor that the model has but rope_freqs.weight: embedding, layers, norm, head.
std::vector<GgufPlace> gguf_places(const GgufModel& model);

/// A tensor of the Hugging Face folder and where it comes from.
struct GgufSource {
  std::string name;  ///< in the Hugging Face folder
  const GgufTensor* tensor = nullptr;
  /// Above 0: the rows are that many heads whose rotary pairs lie side by side (rows 2i and 2i+1 of a head),
  /// to be put back into Hugging Face's order (i and i + D/2).
  std::int64_t rotary_heads = 0;
};

/// gguf_places in the file, their shapes checked. Error where one is missing or where the file has one more.
std::vector<GgufSource> map_gguf_tensors(const GgufFile& file, const GgufModel& model);

}  // namespace ranktune
