#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace ranktune {

struct Message {
  std::string role;  ///< system | user | assistant
  std::string content;
};

/// A stretch of the rendered conversation.
struct TemplatePart {
  std::string text;
  bool content = false;     ///< written by a person or a model: special tokens in it are ordinary characters
  bool supervised = false;  ///< belongs to an assistant's answer, its end-of-turn token included
  bool cut = false;         ///< tokenised apart from the parts before it (else no token border is forced)
};

/// What a chat template may be told beside the messages.
struct RenderOptions {
  bool add_generation_prompt = false;
  /// Qwen3's `enable_thinking`: false puts an empty think block into the generation prompt. Others ignore it.
  bool enable_thinking = true;
};

/// How a conversation becomes text. Native renderers for known templates; a model's own Jinja text only
/// chooses among them. Immutable.
class ChatTemplate {
 public:
  struct Definition;

  /// name "auto": the model's own, from chat_template.jinja, tokenizer_config.json or (qwen.tiktoken beside
  /// no template) first-generation Qwen's ChatML. Throws with the remedy where the text is not a known one.
  /// Other names: see names().
  static ChatTemplate load(const Path& model_folder, const std::string& name = "auto");
  /// The model's own, as "auto" finds it; nothing where it has none or an unknown one.
  static std::optional<ChatTemplate> find_own(const Path& model_folder);
  /// The names load takes beside "auto".
  static std::vector<std::string> names();

  /// Throws on an unknown role, on no messages, and (where the family demands it) on a wrong order of turns.
  std::vector<TemplatePart> render(std::span<const Message> messages, const RenderOptions& options) const;
  std::vector<TemplatePart> render(std::span<const Message> messages, bool add_generation_prompt) const {
    return render(messages, RenderOptions{.add_generation_prompt = add_generation_prompt});
  }
  std::string render_text(std::span<const Message> messages, const RenderOptions& options) const;
  std::string render_text(std::span<const Message> messages, bool add_generation_prompt) const {
    return render_text(messages, RenderOptions{.add_generation_prompt = add_generation_prompt});
  }

  /// "qwen1" | "qwen1.5" | "qwen2.5" | "qwen3" | "smollm2" | "chatml" | "default" …
  const std::string& name() const;
  /// Hash of the template's behaviour.
  const std::string& fingerprint() const;
  /// The token that closes an assistant's turn, e.g. "<|im_end|>".
  const std::string& end_of_turn() const;
  /// The system text put in where the conversation has none; "" where none is put in.
  const std::string& default_system() const;

 private:
  explicit ChatTemplate(std::shared_ptr<const Definition> definition);
  static ChatTemplate make(Definition definition);
  std::shared_ptr<const Definition> definition_;
};

}  // namespace ranktune
