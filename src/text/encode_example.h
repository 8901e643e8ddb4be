#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ranktune {

/// A conversation as the model sees it. Both vectors have one entry per token.
struct EncodedExample {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> loss_mask;  ///< 1: the token is a label (part of an assistant's answer)
};

/// The whole conversation; labels are the assistants' answers, each with its end-of-turn token.
EncodedExample encode_example(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                              std::span<const Message> messages);

/// The conversation up to where the model is to go on.
std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                        std::span<const Message> messages,
                                        const RenderOptions& options = {.add_generation_prompt = true});

}  // namespace ranktune
