#pragma once

#include <span>
#include <string>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ranktune {

/// A conversation as training sees it, one line a token: position, id, "special" for special tokens, "label"
/// for those that are learned, and the text between quotation marks (line breaks as \n, bytes that are no
/// whole character as \xE4). With `colours` labels are green and the rest is dim, by ANSI sequences.
std::string describe_template(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                              std::span<const Message> messages, bool colours);

/// Two turns, the second in Chinese and with the template's end token written out as text; no system message,
/// so that the template's own shows.
std::vector<Message> sample_conversation(const ChatTemplate& chat_template);

}  // namespace ranktune
