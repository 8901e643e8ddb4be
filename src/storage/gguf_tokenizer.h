#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "storage/gguf.h"

namespace ranktune {

/// The tokenizer of a GGUF as the files of a Hugging Face folder.
struct GgufTokenizer {
  std::string pre_tokenizer;   ///< tokenizer.ggml.pre
  std::string tokenizer_json;  ///< the text of tokenizer.json
  std::string chat_template;   ///< "" where the file has none
  std::uint64_t tokens = 0;    ///< ids with a text
  std::uint64_t ids = 0;       ///< length of the token list, unused ones included
  /// For config.json and generation_config.json; eot is another end of turn where it differs from eos.
  std::optional<std::int64_t> bos, eos, pad, eot;
  Json config;  ///< tokenizer_config.json, without "model_max_length"
};

/// Byte-level BPE (tokenizer.ggml.model "gpt2") with the pre-tokenizers smollm, gpt-2, qwen2 and llama-bpe.
/// Error for any other, for ids outside the list, texts given twice, and merges whose parts or result are no
/// tokens.
GgufTokenizer read_gguf_tokenizer(const GgufFile& file);

/// The name that tokenizer.ggml.pre has for the splitting and merging of a tokenizer.json. Error, with
/// `where`, where it is none of the above.
std::string gguf_pre_tokenizer(const Json& tokenizer_json, const std::string& where);

}  // namespace ranktune
