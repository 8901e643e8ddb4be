#pragma once

#include <span>
#include <string>
#include <vector>

#include "text/chat_template.h"

namespace ranktune {

enum class ChatFamily {
  kChatMl,  ///< <|im_start|>role\ntext<|im_end|>\n, tokenised as one text
  kQwen1,   ///< the same, but tokenised piece by piece and without the last line break
  kQwen3,   ///< ChatML with think blocks: kept in the turns after the last question, dropped from older ones
  kPlain,   ///< LLaMA-Factory's early "default": "Human: question\nAssistant: " answer and end-of-text token
};

struct ChatStyle {
  std::string name;
  ChatFamily family = ChatFamily::kChatMl;
  std::string default_system;  ///< "": a conversation without system text gets none
  std::string end_of_turn;
};

/// See ChatTemplate::render.
std::vector<TemplatePart> render_chat(const ChatStyle& style, std::span<const Message> messages,
                                      const RenderOptions& options);

}  // namespace ranktune
