#include "export/gguf_vocabulary.h"

#include <map>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "export/model_texts.h"
#include "storage/gguf_format.h"
#include "storage/gguf_tokenizer.h"
#include "text/byte_alphabet.h"
#include "text/vocabulary.h"

namespace ranktune {
namespace {

/// A tokenizer file, and what GGUF asks of it.
struct Source {
  Path file;
  Vocabulary vocabulary;
  std::string pre_tokenizer;     ///< GGUF's name of its splitting
  bool begins_with_bos = false;  ///< puts its first token before every text
  std::string end_of_text;  ///< bos, eos and padding where the folder's files name none; "": there is no such
};

/// Does the tokenizer put its first token before every text? One that adds others cannot be told.
bool begins_with_bos(const Json& tokenizer, const Path& file) {
  const Json processor = tokenizer.value("post_processor", Json());
  if (!processor.is_object()) return false;
  bool bos = false;
  for (const Json& part : processor.value("processors", Json::array({processor}))) {
    const Json single = part.value("single", Json::array());
    for (std::size_t i = 0; i < single.size(); ++i) {
      if (!single[i].contains("SpecialToken")) continue;
      require(
          i == 0 && single.size() > 1,
          "{}: its \"post_processor\" adds tokens elsewhere than at the begin of a text, which GGUF cannot "
          "say",
          file.string());
      bos = true;
    }
  }
  return bos;
}

Source read_source(const Path& folder) {
  const Path json_file = folder / "tokenizer.json", tiktoken = folder / "qwen.tiktoken";
  if (std::filesystem::exists(json_file)) {
    const Json json = read_json_file(json_file);
    return {.file = json_file,
            .vocabulary = read_tokenizer_json(json_file),
            .pre_tokenizer = gguf_pre_tokenizer(json, json_file.string()),
            .begins_with_bos = begins_with_bos(json, json_file),
            .end_of_text = ""};
  }
  require(
      std::filesystem::exists(tiktoken),
      "{} has neither tokenizer.json nor qwen.tiktoken, from which GGUF's tokenizer is made; give a folder "
      "that has one",
      folder.string());
  Vocabulary vocabulary = read_tiktoken(tiktoken);
  vocabulary.merges = tiktoken_merges(vocabulary, tiktoken.string());
  // It splits as Qwen2's tokenizers do.
  return {.file = tiktoken,
          .vocabulary = std::move(vocabulary),
          .pre_tokenizer = "qwen2",
          .begins_with_bos = false,
          .end_of_text = "<|endoftext|>"};
}

class VocabularyMaker {
 public:
  VocabularyMaker(const Path& folder, std::int64_t vocab_size, GgufMetadata& metadata)
      : folder_(folder), metadata_(metadata), source_(read_source(folder)) {
    require(static_cast<std::int64_t>(source_.vocabulary.token_bytes.size()) <= vocab_size,
            "{}: {} tokens, but the embedding has only {} rows", source_.file.string(),
            source_.vocabulary.token_bytes.size(), vocab_size);
    config_ = read_optional("config.json");
    tokenizer_config_ = read_optional("tokenizer_config.json");
    read_tokens(static_cast<std::size_t>(vocab_size));
  }

  void run(const std::optional<ChatTemplate>& chat_template) {
    metadata_.add_text("tokenizer.ggml.model", "gpt2");
    metadata_.add_text("tokenizer.ggml.pre", source_.pre_tokenizer);
    metadata_.add_texts("tokenizer.ggml.tokens", tokens_);
    metadata_.add_i32s("tokenizer.ggml.token_type", types_);
    metadata_.add_texts("tokenizer.ggml.merges", merges());
    add_special_ids(chat_template);
    metadata_.add_flag("tokenizer.ggml.add_bos_token", source_.begins_with_bos);
    std::string text = template_text(folder_, chat_template);
    if (!text.empty()) metadata_.add_text("tokenizer.chat_template", text);
  }

 private:
  Json read_optional(const char* name) const {
    return std::filesystem::exists(folder_ / name) ? read_json_file(folder_ / name) : Json::object();
  }

  void read_tokens(std::size_t count) {
    for (std::size_t id = 0; id < count; ++id) {
      const bool known =
          id < source_.vocabulary.token_bytes.size() && !source_.vocabulary.token_bytes[id].empty();
      tokens_.push_back(known ? symbols_of(source_.vocabulary.token_bytes[id]) : fmt::format("[PAD{}]", id));
      types_.push_back(static_cast<std::int32_t>(known ? GgufToken::kNormal : GgufToken::kUnused));
    }
    for (const AddedToken& token : source_.vocabulary.added) {
      const auto id = static_cast<std::size_t>(token.id);
      tokens_[id] = token.content;
      types_[id] = static_cast<std::int32_t>(token.special ? GgufToken::kControl : GgufToken::kUserDefined);
      added_ids_.emplace(token.content, token.id);
    }
  }

  static std::string symbols_of(const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) text += byte_symbol(static_cast<unsigned char>(byte));
    return text;
  }

  std::vector<std::string> merges() const {
    std::vector<std::string> merges;
    for (const BytePairModel::Merge& merge : source_.vocabulary.merges)
      merges.push_back(tokens_[static_cast<std::size_t>(merge.left)] + " " +
                       tokens_[static_cast<std::size_t>(merge.right)]);
    return merges;
  }

  /// tokenizer_config.json's "NAME_token", else config.json's "NAME_token_id" (the first of a list).
  std::optional<std::int32_t> special_id(const std::string& name) const {
    const auto text = tokenizer_config_.find(name + "_token");
    if (text != tokenizer_config_.end() && !text->is_null()) {
      const Json& content = text->is_object() ? text->value("content", Json()) : *text;
      const auto found = content.is_string() ? added_ids_.find(content.get<std::string>()) : added_ids_.end();
      if (found != added_ids_.end()) return found->second;
    }
    Json id = config_.value(name + "_token_id", Json());
    if (id.is_array() && !id.empty()) id = Json(id[0]);
    if (!id.is_number_integer()) return std::nullopt;
    require(id.get<std::int64_t>() >= 0 && id.get<std::int64_t>() < static_cast<std::int64_t>(tokens_.size()),
            "{}: \"{}_token_id\" is {}, but there are {} ids", (folder_ / "config.json").string(), name,
            id.dump(), tokens_.size());
    return id.get<std::int32_t>();
  }

  void add_special_ids(const std::optional<ChatTemplate>& chat_template) {
    const std::map<std::string, std::string> names{
        {"bos", "bos"}, {"eos", "eos"}, {"unk", "unknown"}, {"pad", "padding"}};
    std::map<std::string, std::int32_t> ids;
    for (const auto& [name, gguf] : names)
      if (const auto id = special_id(name)) ids[gguf] = *id;
    if (!source_.end_of_text.empty())
      for (const char* name : {"bos", "eos", "padding"})
        ids.emplace(name, added_ids_.find(source_.end_of_text)->second);
    if (chat_template) {
      const auto end = added_ids_.find(chat_template->end_of_turn());
      require(end != added_ids_.end(),
              "{}: the chat template \"{}\" ends turns with {}, which is no token of it",
              source_.file.string(), chat_template->name(), chat_template->end_of_turn());
      if (!ids.contains("eos")) ids["eos"] = end->second;
      if (ids["eos"] != end->second) ids["eot"] = end->second;
    }
    require(ids.contains("eos"),
            "{}: neither tokenizer_config.json (\"eos_token\") nor config.json (\"eos_token_id\") says which "
            "token "
            "ends a text",
            folder_.string());
    for (const auto& [name, id] : ids)
      metadata_.add_u32(fmt::format("tokenizer.ggml.{}_token_id", name), static_cast<std::uint32_t>(id));
  }

  const Path& folder_;
  GgufMetadata& metadata_;
  Source source_;
  Json config_, tokenizer_config_;
  std::vector<std::string> tokens_;
  std::vector<std::int32_t> types_;
  std::map<std::string, std::int32_t, std::less<>> added_ids_;
};

}  // namespace

void add_vocabulary(const Path& folder, std::int64_t vocab_size,
                    const std::optional<ChatTemplate>& chat_template, GgufMetadata& metadata) {
  VocabularyMaker(folder, vocab_size, metadata).run(chat_template);
}

}  // namespace ranktune
