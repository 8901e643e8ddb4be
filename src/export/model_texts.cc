#include "export/model_texts.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "text/stop_tokens.h"
#include "text/template_text.h"
#include "text/tokenizer.h"

namespace ranktune {
namespace {

constexpr const char* kConfig = "config.json";
constexpr const char* kGenerationConfig = "generation_config.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kJinjaFile = "chat_template.jinja";

/// Copied as they are. (Code belongs to models such as the first Qwen, which transformers runs by it.)
bool is_companion(const std::string& name) {
  constexpr std::array kNames{"tokenizer.json",
                              "special_tokens_map.json",
                              "added_tokens.json",
                              "vocab.json",
                              "merges.txt",
                              "qwen.tiktoken",
                              "NOTICE"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name.ends_with(".py") ||
         name.starts_with("LICENSE");
}

/// Keys keep the base's order.
OrderedJson read_ordered(const Path& path) {
  read_json_file(path);  // says what is wrong with it
  OrderedJson json = OrderedJson::parse(read_file(path));
  require(json.is_object(), "{}: not a JSON object", path.string());
  return json;
}

/// The text (by `jinja_of`) that must take the place of the base's own; nothing where that one is right, or
/// is all there is.
std::optional<std::string> other_template(const Path& base, const std::optional<ChatTemplate>& chat_template,
                                          std::string (*jinja_of)(const ChatTemplate&)) {
  if (!chat_template) return std::nullopt;
  const std::optional<ChatTemplate> own = ChatTemplate::find_own(base);
  if (own && own->fingerprint() == chat_template->fingerprint()) return std::nullopt;
  std::string text = jinja_of(*chat_template);
  if (!text.empty()) return text;
  log_warning(
      "there is no Jinja text of the chat template \"{}\" that the model was trained with, so {}; programs "
      "that "
      "use the model must be given the right one",
      chat_template->name(), own_template_text(base).empty() ? "none is written" : "the base's is kept");
  return std::nullopt;
}

class TextMaker {
 public:
  explicit TextMaker(const ModelTextsOptions& options) : options_(options) {
    if (std::filesystem::exists(options.base / kGenerationConfig))
      generation_ = read_ordered(options.base / kGenerationConfig);
    if (std::filesystem::exists(options.base / kTokenizerConfig))
      tokenizer_ = read_ordered(options.base / kTokenizerConfig);
    config_ = read_ordered(options.base / kConfig);
  }

  std::vector<ModelText> run() {
    set_dtype();
    if (config_.contains("tie_word_embeddings") || options_.tied_head)
      config_["tie_word_embeddings"] = options_.tied_head;
    set_end_tokens();
    set_template();
    std::vector<ModelText> texts{{kConfig, config_.dump(2) + "\n"}};
    if (!generation_.empty()) texts.push_back({kGenerationConfig, generation_.dump(2) + "\n"});
    if (!tokenizer_.empty()) texts.push_back({kTokenizerConfig, tokenizer_.dump(2) + "\n"});
    if (!jinja_.empty()) texts.push_back({kJinjaFile, jinja_});
    for (const auto& entry : std::filesystem::directory_iterator(options_.base)) {
      const std::string name = entry.path().filename().string();
      if (entry.is_regular_file() && is_companion(name)) texts.push_back({name, read_file(entry.path())});
    }
    std::sort(texts.begin(), texts.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return texts;
  }

 private:
  void set_dtype() {
    const std::string name(torch_dtype_name(options_.dtype));
    if (config_.contains("dtype")) config_["dtype"] = name;  // transformers 5 writes this one
    if (config_.contains("torch_dtype") || !config_.contains("dtype")) config_["torch_dtype"] = name;
    // The first Qwen's code goes by three flags.
    for (const auto& [key, dtype] :
         {std::pair("bf16", DType::kBF16), std::pair("fp16", DType::kF16), std::pair("fp32", DType::kF32)})
      if (config_.contains(key)) config_[key] = options_.dtype == dtype;
  }

  /// The end of turn first, then what the base's files say, ascending.
  void set_end_tokens() {
    const bool has_tokenizer = std::filesystem::exists(options_.base / "tokenizer.json") ||
                               std::filesystem::exists(options_.base / "qwen.tiktoken");
    if (!options_.chat_template || !has_tokenizer) return;
    const auto tokenizer = Tokenizer::load(options_.base);
    const StopTokens stop =
        load_stop_tokens(options_.base, *tokenizer, *options_.chat_template, TemplateMismatch::kWarn);
    std::vector<std::int32_t> ids{stop.end_of_turn};
    std::copy_if(stop.ids.begin(), stop.ids.end(), std::back_inserter(ids),
                 [&](std::int32_t id) { return id != stop.end_of_turn; });
    if (generation_.empty())
      for (const char* key : {"bos_token_id", "pad_token_id"})
        if (config_.contains(key) && !config_[key].is_null()) generation_[key] = config_[key];
    for (OrderedJson* json : {&config_, &generation_}) {
      const bool is_config = json == &config_;
      if (is_config && !json->contains("eos_token_id")) continue;
      if (!holds((*json)["eos_token_id"], stop.end_of_turn))
        (*json)["eos_token_id"] = ids.size() == 1 ? OrderedJson(ids.front()) : OrderedJson(ids);
    }
  }

  static bool holds(const OrderedJson& value, std::int32_t id) {
    return value.is_array() ? std::find(value.begin(), value.end(), id) != value.end() : value == id;
  }

  void set_template() {
    if (std::filesystem::exists(options_.base / kJinjaFile)) jinja_ = read_file(options_.base / kJinjaFile);
    const std::optional<std::string> other =
        other_template(options_.base, options_.chat_template, template_jinja);
    if (!other) return;
    jinja_ = *other;
    tokenizer_.erase("chat_template");
  }

  const ModelTextsOptions& options_;
  OrderedJson config_, generation_ = OrderedJson::object(), tokenizer_ = OrderedJson::object();
  std::string jinja_;
};

}  // namespace

std::vector<ModelText> model_texts(const ModelTextsOptions& options) { return TextMaker(options).run(); }

std::string template_text(const Path& base, const std::optional<ChatTemplate>& chat_template) {
  const std::optional<std::string> other = other_template(base, chat_template, prompt_jinja);
  std::string text = other ? *other : own_template_text(base);
  // First-generation Qwen's own stands in no file.
  return text.empty() && chat_template ? prompt_jinja(*chat_template) : text;
}

std::optional<ChatTemplate> trained_template(const Path& base, const std::string& name,
                                             const std::string& fingerprint) {
  std::optional<ChatTemplate> own = ChatTemplate::find_own(base);
  if (own && (fingerprint.empty() || own->fingerprint() == fingerprint)) return own;
  if (!name.empty()) {
    ChatTemplate named = ChatTemplate::load(base, name);
    if (named.fingerprint() == fingerprint) return named;
    log_warning("the chat template \"{}\" is no longer what the adapter was trained with; {} is kept", name,
                own ? fmt::format("the base model's own, \"{}\",", own->name()) : "the base model's");
    return own;
  }
  log_warning(
      "{} has no chat template that is known here: its chat template and end tokens are kept as they are",
      base.string());
  return std::nullopt;
}

}  // namespace ranktune
