#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "storage/dtype.h"

namespace ranktune {

struct ImportOptions {
  Path gguf;
  Path folder;                 ///< the Hugging Face folder to make; must not exist unless overwrite
  DType dtype = DType::kBF16;  ///< of the weights: kBF16, kF16 or kF32; rounded once from fp32
  bool overwrite = false;  ///< replace a model folder that is there (and nothing else than a model folder)
};

/// What was imported, for the user.
struct ImportSummary {
  std::string architecture;   ///< as config.json says it, e.g. "LlamaForCausalLM"
  std::string pre_tokenizer;  ///< as the GGUF says it, e.g. "smollm"
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;
  std::uint64_t weight_bytes = 0;
  std::uint64_t tokens = 0;  ///< ids with a text, added ones included
};

/// A GGUF model (general.architecture llama, qwen, qwen2 or qwen3, byte-level BPE) as a Hugging Face folder:
/// config.json, model.safetensors, tokenizer.json, tokenizer_config.json with the chat template,
/// generation_config.json. The folder is built under another name beside its place and renamed when whole.
/// Anything that cannot be said in that form (experts, another tokenizer, an unknown tensor, type, rope
/// scaling) is an Error.
ImportSummary import_gguf(const ImportOptions& options);

}  // namespace ranktune
