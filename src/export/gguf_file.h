#pragma once

#include <optional>
#include <vector>

#include "base/file.h"
#include "export/final_weights.h"
#include "model/architecture.h"
#include "storage/dequantize.h"
#include "text/chat_template.h"

namespace ranktune {

struct GgufFileOptions {
  Path file;                                    ///< to be made
  Path base;                                    ///< the model folder whose tokenizer it gets
  GgmlType type = GgmlType::kBF16;              ///< of the matrices: kF32, kF16, kBF16 or kQ8_0
  std::optional<ChatTemplate> chat_template{};  ///< see ModelTextsOptions
};

/// The model as a GGUF file for llama.cpp and the programs built on it: matrices in `type` (rounded once;
/// those whose rows are no whole blocks of Q8_0 in F16), norms and biases in F32, a tied head left out,
/// rotary pairs in llama's order. The first Qwen's dynamic scaling and log-n attention, which act beyond its
/// training length, are nothing that a GGUF can ask for: a line of the log says so, and that length is the
/// file's context length. It appears under its name when whole. Error for models that those programs would
/// compute otherwise, and before anything is written where the disk has not enough space.
void write_gguf_file(const GgufFileOptions& options, const Architecture& arch,
                     const std::vector<FinalWeight>& weights);

}  // namespace ranktune
