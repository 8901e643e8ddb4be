#include "text/render_chat.h"

#include <string_view>
#include <utility>

#include "base/error.h"

namespace ranktune {

namespace {

// Collects parts; neighbours of the same kind become one.
class Parts {
 public:
  void fixed(std::string_view text, bool supervised = false) {
    add({std::string(text), false, supervised, cut_});
  }
  void content(std::string_view text, bool supervised) { add({std::string(text), true, supervised, cut_}); }
  // What follows is tokenised apart from what came before.
  void cut() { cut_ = true; }
  std::vector<TemplatePart> take() { return std::move(parts_); }

 private:
  void add(TemplatePart part) {
    if (part.text.empty()) return;
    cut_ = false;
    if (!parts_.empty() && !part.cut && parts_.back().content == part.content &&
        parts_.back().supervised == part.supervised) {
      parts_.back().text += part.text;
    } else {
      part.cut = part.cut && !parts_.empty();
      parts_.push_back(std::move(part));
    }
  }

  std::vector<TemplatePart> parts_;
  bool cut_ = false;
};

std::string_view without_leading(std::string_view text, char c) {
  while (text.starts_with(c)) text.remove_prefix(1);
  return text;
}
std::string_view without_trailing(std::string_view text, char c) {
  while (text.ends_with(c)) text.remove_suffix(1);
  return text;
}

// One turn of ChatML up to and with its end-of-turn token.
void add_turn(Parts& parts, const ChatStyle& style, std::string_view role, std::string_view content) {
  const bool supervised = role == "assistant";
  const bool apart = style.family == ChatFamily::kQwen1;
  parts.fixed("<|im_start|>");
  parts.fixed(role);
  parts.fixed("\n");
  if (apart) parts.cut();
  parts.content(content, supervised);
  if (apart) parts.cut();
  parts.fixed(style.end_of_turn, supervised);
}

std::vector<TemplatePart> render_chatml(const ChatStyle& style, std::span<const Message> messages,
                                        const RenderOptions& options) {
  Parts parts;
  if (!style.default_system.empty() && messages.front().role != "system") {
    add_turn(parts, style, "system", style.default_system);
    parts.fixed("\n");
  }
  for (const Message& message : messages) {
    add_turn(parts, style, message.role, message.content);
    // First-generation Qwen puts the line break between turns, the others after each.
    if (style.family != ChatFamily::kQwen1 || &message != &messages.back()) parts.fixed("\n");
  }
  if (options.add_generation_prompt) {
    if (style.family == ChatFamily::kQwen1) parts.fixed("\n");
    parts.fixed("<|im_start|>assistant\n");
  }
  return parts.take();
}

// An assistant's text taken apart at its think block.
struct Thought {
  std::string_view reasoning, answer;
};

Thought split_thought(std::string_view content) {
  static constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const std::size_t first_close = content.find(kClose);
  if (first_close == std::string_view::npos) return {"", content};
  std::string_view reasoning = without_trailing(content.substr(0, first_close), '\n');
  if (const std::size_t open = reasoning.rfind(kOpen); open != std::string_view::npos)
    reasoning.remove_prefix(open + kOpen.size());
  const std::string_view answer = content.substr(content.rfind(kClose) + kClose.size());
  return {without_leading(reasoning, '\n'), without_leading(answer, '\n')};
}

void add_thinking_turn(Parts& parts, const ChatStyle& style, const Thought& thought, bool with_block) {
  parts.fixed("<|im_start|>assistant\n");
  if (with_block) {
    parts.fixed("<think>\n", true);
    parts.content(without_trailing(without_leading(thought.reasoning, '\n'), '\n'), true);
    parts.fixed("\n</think>\n\n", true);
    parts.content(without_leading(thought.answer, '\n'), true);
  } else {
    parts.content(thought.answer, true);
  }
  parts.fixed(style.end_of_turn, true);
}

// Index of the last real question; a user turn that only carries a tool's response is none.
std::size_t last_question(std::span<const Message> messages) {
  for (std::size_t i = messages.size(); i-- > 0;) {
    const std::string_view content = messages[i].content;
    const bool tool_response =
        content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
    if (messages[i].role == "user" && !tool_response) return i;
  }
  return messages.size() - 1;
}

std::vector<TemplatePart> render_qwen3(const ChatStyle& style, std::span<const Message> messages,
                                       const RenderOptions& options) {
  Parts parts;
  const std::size_t question = last_question(messages);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const bool last = i + 1 == messages.size();
    if (messages[i].role == "assistant") {
      const Thought thought = split_thought(messages[i].content);
      add_thinking_turn(parts, style, thought, i > question && (last || !thought.reasoning.empty()));
    } else {
      add_turn(parts, style, messages[i].role, messages[i].content);
    }
    parts.fixed("\n");
  }
  if (options.add_generation_prompt) {
    parts.fixed("<|im_start|>assistant\n");
    if (!options.enable_thinking) parts.fixed("<think>\n\n</think>\n\n");
  }
  return parts.take();
}

std::vector<TemplatePart> render_plain(const ChatStyle& style, std::span<const Message> messages,
                                       const RenderOptions& options) {
  Parts parts;
  const std::size_t first = messages.front().role == "system" ? 1 : 0;
  if (first == 1) {
    parts.content(messages.front().content, false);
    parts.fixed("\n");
  }
  for (std::size_t i = first; i < messages.size(); ++i) {
    const bool question = (i - first) % 2 == 0;
    require(messages[i].role == (question ? "user" : "assistant"),
            "the \"{}\" chat template needs user and assistant by turns after the system text, but message "
            "{} is from "
            "\"{}\"",
            style.name, i + 1, messages[i].role);
    parts.cut();
    if (question) {
      if (i > first) parts.fixed("\n");
      parts.cut();
      parts.fixed("Human: ");
      parts.content(messages[i].content, false);
      parts.fixed("\nAssistant: ");
    } else {
      parts.content(messages[i].content, true);
      parts.cut();
      parts.fixed(style.end_of_turn, true);
    }
  }
  const bool open = messages.size() > first && messages.back().role == "user";
  require(open == options.add_generation_prompt,
          "the \"{}\" chat template can only be continued after a user's message, and then has to be",
          style.name);
  return parts.take();
}

}  // namespace

std::vector<TemplatePart> render_chat(const ChatStyle& style, std::span<const Message> messages,
                                      const RenderOptions& options) {
  require(!messages.empty(), "a conversation without messages cannot be rendered");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    require(role == "system" || role == "user" || role == "assistant",
            "message {} has the role \"{}\"; roles are system, user and assistant", i + 1, role);
  }
  switch (style.family) {
    case ChatFamily::kChatMl:
    case ChatFamily::kQwen1:
      return render_chatml(style, messages, options);
    case ChatFamily::kQwen3:
      return render_qwen3(style, messages, options);
    case ChatFamily::kPlain:
      return render_plain(style, messages, options);
  }
  fail("chat template \"{}\" is of no known family", style.name);
}

}  // namespace ranktune
