#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"
#include "storage/gguf_writer.h"
#include "text/chat_template.h"

namespace ranktune {

/// Adds tokenizer.ggml.* of a model folder's tokenizer.json (else qwen.tiktoken), tokenizer_config.json and
/// config.json as llama.cpp's converter does: `vocab_size` tokens (ids that stand for nothing are
/// "[PAD<id>]", unused), merges, special ids, whether a text begins with bos, and the chat template. A chat
/// template that ends turns with another token than the end-of-text token makes it the end-of-turn token
/// (eot). Error where the tokenizer is none that GGUF has a name for, or has more tokens than `vocab_size`.
void add_vocabulary(const Path& folder, std::int64_t vocab_size,
                    const std::optional<ChatTemplate>& chat_template, GgufMetadata& metadata);

}  // namespace ranktune
