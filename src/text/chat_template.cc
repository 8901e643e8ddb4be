#include "text/chat_template.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/nearest.h"
#include "text/render_chat.h"
#include "text/template_text.h"

namespace ranktune {

struct ChatTemplate::Definition : ChatStyle {
  std::string fingerprint;
};

namespace {

constexpr const char* kQwen15System = "You are a helpful assistant";
constexpr const char* kHelpfulSystem = "You are a helpful assistant.";
constexpr const char* kQwen25System = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
constexpr const char* kSmolSystem = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

ChatStyle chatml(std::string name, std::string default_system, ChatFamily family = ChatFamily::kChatMl) {
  return {.name = std::move(name),
          .family = family,
          .default_system = std::move(default_system),
          .end_of_turn = "<|im_end|>"};
}

std::vector<ChatStyle> all_styles() {
  return {chatml("chatml", ""),
          chatml("qwen1", kHelpfulSystem, ChatFamily::kQwen1),
          chatml("qwen1.5", kQwen15System),
          chatml("qwen2", kHelpfulSystem),
          chatml("qwen2.5", kQwen25System),
          chatml("qwen3", "", ChatFamily::kQwen3),
          chatml("qwen3-instruct", ""),
          chatml("smollm2", kSmolSystem),
          {.name = "default",
           .family = ChatFamily::kPlain,
           .default_system = "",
           .end_of_turn = "<|endoftext|>"}};
}

ChatStyle style_named(const std::string& name) {
  const std::vector<ChatStyle> styles = all_styles();
  const auto found =
      std::find_if(styles.begin(), styles.end(), [&](const auto& one) { return one.name == name; });
  if (found != styles.end()) return *found;
  std::vector<std::string> names{"auto"};
  for (const ChatStyle& style : styles) names.push_back(style.name);
  fail("there is no chat template \"{}\"{}; there are {}", name, did_you_mean(name, names),
       fmt::join(names, ", "));
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t begin = 0;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, begin)) {
    out.append(text, begin, at - begin);
    out.append(to);
    begin = at + from.size();
  }
  out.append(text, begin);
  return out;
}

// A Jinja text with its spelling evened out, and the default system text taken out of it.
struct TemplateText {
  std::string outline;
  std::string default_system;
};

TemplateText outline_of(const std::string& jinja) {
  // An escaped line break stands inside a Jinja string; outside of them a backslash is no Jinja.
  std::string text = replaced(replaced(jinja, "\r\n", "\n"), "\\n", "\n");
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\t'; };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
  static constexpr std::string_view kBegin = "<|im_start|>system\n", kEnd = "<|im_end|>";
  for (std::size_t at = text.find(kBegin); at != std::string::npos; at = text.find(kBegin, at + 1)) {
    const std::size_t begin = at + kBegin.size(), end = text.find(kEnd, begin);
    if (end == std::string::npos || end == begin) continue;
    const std::string system = text.substr(begin, end - begin);
    if (system.find_first_of("'\"{}\\") != std::string::npos) continue;
    return {replaced(text, system, "%SYSTEM%"), system};
  }
  return {std::move(text), ""};
}

// The published templates, by hash of their outline. Those with a place for a default system text stand for
// all models that differ in it alone.
struct KnownOutline {
  std::string_view hash;
  const char* style;
  bool has_default_system;
};
constexpr std::array<KnownOutline, 7> kKnownOutlines = {{
    {"a2c291f7c1fef0399e4ebe07c8a549be", "chatml", true},  // Qwen1.5, Qwen2, SmolLM2
    {"f0a6a8278439fdb056191e205a440263", "chatml",
     false},  // the same without a default system text (Qwen1.5 base models)
    {"a0346fc93d137494dcd6fffcfff87bdf", "qwen1.5",
     true},  // Qwen1.5's first: leaves the last turn unclosed; closed here
    {"9ee0059f0f6f1f0675d8cd23d9257ce6", "qwen2.5", true},          // Qwen2.5
    {"39df3fa40a20c7605a33498785c53d45", "qwen3", false},           // Qwen3, April 2025
    {"205bbe22d93805964372a702009a6e39", "qwen3", false},           // Qwen3, later revision
    {"2358eae13be98a7ba04c0d765923822c", "qwen3-instruct", false},  // Qwen3-Instruct-2507
}};

std::optional<ChatStyle> recognise(const TemplateText& text) {
  const std::string hash = hash_hex(text.outline);
  for (const KnownOutline& known : kKnownOutlines) {
    if (known.hash != hash) continue;
    ChatStyle style = style_named(known.style);
    if (!known.has_default_system) return style;
    style.default_system = text.default_system;
    if (style.name != "chatml") return style;
    for (const ChatStyle& named : all_styles())
      if (named.family == ChatFamily::kChatMl && named.default_system == style.default_system) return named;
    return style;
  }
  return std::nullopt;
}

std::string fingerprint_of(const ChatStyle& style) {
  Hasher hasher;
  hasher.add("ranktune chat template 1\n").add(std::to_string(static_cast<int>(style.family))).add("\n");
  return hasher.add(style.default_system).add("\n").add(style.end_of_turn).hex();
}

// A model's own template and the file it stands in.
struct Source {
  Path file;
  std::string text;
};

std::optional<Source> find_source(const Path& folder) {
  const Path jinja = folder / "chat_template.jinja";
  if (std::filesystem::exists(jinja)) return Source{jinja, read_file(jinja, 1 << 20)};
  const Path config = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(config)) return std::nullopt;
  const Json json = read_json_file(config);
  if (!json.is_object() || !json.contains("chat_template") || json["chat_template"].is_null())
    return std::nullopt;
  const Json& entry = json["chat_template"];
  if (entry.is_string()) return Source{config, entry.get<std::string>()};
  require(entry.is_array(), "{}: \"chat_template\" is neither a text nor a list", config.string());
  for (const Json& named : entry)
    if (json_get<std::string>(named, "name", config.string()) == "default")
      return Source{config, json_get<std::string>(named, "template", config.string())};
  return std::nullopt;
}

std::optional<ChatStyle> find_own_style(const Path& folder, const std::optional<Source>& source) {
  if (source) return recognise(outline_of(source->text));
  if (std::filesystem::exists(folder / "qwen.tiktoken")) return style_named("qwen1");
  return std::nullopt;
}

ChatStyle own_style(const Path& folder) {
  const std::optional<Source> source = find_source(folder);
  if (std::optional<ChatStyle> style = find_own_style(folder, source)) return *std::move(style);
  if (source)
    fail(
        "{}: the model's chat template is not one this program knows (hash of its text: {}). If the model "
        "speaks "
        "ChatML (<|im_start|>role … <|im_end|>), set template = \"chatml\"; the other choices are {}",
        source->file.string(), hash_hex(outline_of(source->text).outline),
        fmt::join(ChatTemplate::names(), ", "));
  fail(
      "{}: the model has no chat template (neither chat_template.jinja nor \"chat_template\" in "
      "tokenizer_config.json, or none named \"default\" in a list there), as base models often have none; "
      "set "
      "template = \"chatml\" or another of {}",
      folder.string(), fmt::join(ChatTemplate::names(), ", "));
}

// The plain template closes turns with the tokenizer's own end-of-text token.
std::string eos_token(const Path& folder, const std::string& fallback) {
  const Path file = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return fallback;
  const Json config = read_json_file(file);
  if (!config.is_object() || !config.contains("eos_token") || config["eos_token"].is_null()) return fallback;
  const Json& token = config["eos_token"];
  return token.is_object() ? json_get<std::string>(token, "content", file.string())
                           : json_get<std::string>(config, "eos_token", file.string());
}

std::string chatml_jinja(const ChatTemplate& chat_template) {
  std::string system;
  if (!chat_template.default_system().empty())
    system = fmt::format(
        "{{% if loop.first and messages[0]['role'] != 'system' %}}{{{{ '<|im_start|>system\\n{}{}\\n' }}}}"
        "{{% endif %}}",
        chat_template.default_system(), chat_template.end_of_turn());
  return fmt::format(
      "{{% for message in messages %}}{}{{{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
      "'{}' + '\\n'}}}}{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\\n' }}}}"
      "{{% endif %}}",
      system, chat_template.end_of_turn());
}

}  // namespace

ChatTemplate::ChatTemplate(std::shared_ptr<const Definition> definition)
    : definition_(std::move(definition)) {}

ChatTemplate ChatTemplate::load(const Path& model_folder, const std::string& name) {
  Definition definition{name == "auto" ? own_style(model_folder) : style_named(name), {}};
  if (definition.family == ChatFamily::kPlain)
    definition.end_of_turn = eos_token(model_folder, definition.end_of_turn);
  return make(std::move(definition));
}

std::optional<ChatTemplate> ChatTemplate::find_own(const Path& model_folder) {
  std::optional<ChatStyle> style = find_own_style(model_folder, find_source(model_folder));
  if (!style) return std::nullopt;
  return make({*std::move(style), {}});
}

std::string own_template_text(const Path& model_folder) {
  const std::optional<Source> source = find_source(model_folder);
  return source ? source->text : "";
}

std::string template_jinja(const ChatTemplate& chat_template) {
  const std::string chatml = chatml_jinja(chat_template);
  const std::optional<ChatStyle> style = recognise(outline_of(chatml));
  return style && fingerprint_of(*style) == chat_template.fingerprint() ? chatml : "";
}

std::string prompt_jinja(const ChatTemplate& chat_template) {
  const bool first_qwen = chat_template.fingerprint() == fingerprint_of(style_named("qwen1"));
  return first_qwen ? chatml_jinja(chat_template) : template_jinja(chat_template);
}

ChatTemplate ChatTemplate::make(Definition definition) {
  definition.fingerprint = fingerprint_of(definition);
  return ChatTemplate(std::make_shared<const Definition>(std::move(definition)));
}

std::vector<std::string> ChatTemplate::names() {
  std::vector<std::string> names;
  for (const ChatStyle& style : all_styles()) names.push_back(style.name);
  return names;
}

std::vector<TemplatePart> ChatTemplate::render(std::span<const Message> messages,
                                               const RenderOptions& options) const {
  return render_chat(*definition_, messages, options);
}

std::string ChatTemplate::render_text(std::span<const Message> messages, const RenderOptions& options) const {
  std::string text;
  for (const TemplatePart& part : render(messages, options)) text += part.text;
  return text;
}

const std::string& ChatTemplate::name() const { return definition_->name; }
const std::string& ChatTemplate::fingerprint() const { return definition_->fingerprint; }
const std::string& ChatTemplate::end_of_turn() const { return definition_->end_of_turn; }
const std::string& ChatTemplate::default_system() const { return definition_->default_system; }

}  // namespace ranktune
