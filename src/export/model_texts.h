#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "storage/dtype.h"
#include "text/chat_template.h"

namespace ranktune {

/// A file of a model folder beside its weights.
struct ModelText {
  std::string name, content;
};

/// What decides the texts of a model that was made from another.
struct ModelTextsOptions {
  Path base;                  ///< the folder it was made from
  DType dtype = DType::kF32;  ///< of the weights, for config.json
  bool tied_head = false;     ///< the head is the embedding, for config.json
  /// The template that it answers by; nothing: the base's own is none that is known here.
  std::optional<ChatTemplate> chat_template{};
};

/// config.json, generation_config.json, the tokenizer's files, the chat template, and the code and licence
/// that came with the base. The end of turn of the chat template is among the end tokens of config.json and
/// generation_config.json, whatever the base says; a template that is not the base's own takes its place.
std::vector<ModelText> model_texts(const ModelTextsOptions& options);

/// The Jinja text that writes the prompts the model answers by (prompt_jinja); the base's own, with a
/// warning, where there is none.
std::string template_text(const Path& base, const std::optional<ChatTemplate>& chat_template);

/// The template that an adapter of this base was trained with, by the name and fingerprint that it carries
/// ("" and "" where it says nothing: then the base's own). Nothing, with a warning, where none is known.
std::optional<ChatTemplate> trained_template(const Path& base, const std::string& name,
                                             const std::string& fingerprint);

}  // namespace ranktune
