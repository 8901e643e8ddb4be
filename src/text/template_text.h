#pragma once

#include <string>

#include "text/chat_template.h"

namespace ranktune {

/// The Jinja text of a model folder's own chat template, whether it is a known one or not; "" where there is
/// none.
std::string own_template_text(const Path& model_folder);

/// A Jinja text that renders the same as the template; "" where this program has none (Qwen3's think blocks,
/// first-generation Qwen's and plain text's borders between tokens).
std::string template_jinja(const ChatTemplate& chat_template);

/// A Jinja text that writes the same prompts, its borders between tokens aside: template_jinja's, and ChatML
/// for first-generation Qwen, where ids differ only for a message that begins with white space up to a line
/// break.
std::string prompt_jinja(const ChatTemplate& chat_template);

}  // namespace ranktune
