#include "verify/check_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "text/encode_example.h"
#include "text/unicode.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;
using Spans = std::vector<std::array<std::size_t, 2>>;

std::vector<Json> read_lines(const Path& file) {
  std::istringstream text(read_file(file));
  std::vector<Json> rows;
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) rows.push_back(parse_json(line, fmt::format("{}:{}", file.string(), rows.size() + 1)));
  require(!rows.empty(), "{}: no lines", file.string());
  return rows;
}

Path find_tokenizer(const std::string& name, const std::vector<Path>& places) {
  std::string looked;
  for (const Path& place : places) {
    const Path folder = place / name;
    if (std::filesystem::exists(folder / "tokenizer.json") ||
        std::filesystem::exists(folder / "qwen.tiktoken"))
      return folder;
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", folder.string());
  }
  fail(
      "no tokenizer (tokenizer.json or qwen.tiktoken) in {}; give the folder that holds {}/ with "
      "--tokenizers",
      looked, name);
}

/// For the note of a figure: where a text begins, on one line.
std::string excerpt(const std::string& where, std::size_t line, const std::string& text) {
  const std::string whole = Json(text).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  return fmt::format("{} {}: {}", where, line, replace_invalid_utf8(whole.substr(0, 60)));
}

void check_texts(const std::string& subject, const Path& folder, const std::vector<Json>& rows,
                 const std::string& where, Findings& findings) {
  const auto tokenizer = Tokenizer::load(folder);
  Differences ids, plain, decoded;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto text = json_get<std::string>(rows[i], "text", where);
    const auto expected = json_get<Ids>(rows[i], "ids", where);
    const auto note = [&] { return excerpt("line", i + 1, text); };
    ids.add(tokenizer->encode(text) == expected, note);
    plain.add(tokenizer->encode(text, SpecialTokens::kAsText) ==
                  json_get_or<Ids>(rows[i], "ids_plain", expected, where),
              note);
    decoded.add(replace_invalid_utf8(tokenizer->decode(expected)) ==
                    json_get_or<std::string>(rows[i], "decoded", text, where),
                note);
  }
  findings.add(ids.figure(subject, "ids"));
  findings.add(plain.figure(subject, "ids_plain"));
  findings.add(decoded.figure(subject, "decoded"));
}

Spans spans_of(const std::vector<std::uint8_t>& mask) {
  Spans spans;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) continue;
    if (i == 0 || mask[i - 1] == 0) spans.push_back({i, i});
    spans.back()[1] = i + 1;
  }
  return spans;
}

RenderOptions read_options(const Json& row, const std::string& where) {
  RenderOptions options{.add_generation_prompt =
                            json_get_or<bool>(row, "add_generation_prompt", false, where)};
  const Json arguments = row.value("template_args", Json::object());
  for (const auto& [key, value] : arguments.items()) {
    require(key == "enable_thinking" && value.is_boolean(),
            "{}: template argument {} = {} is not supported; enable_thinking is", where, key, value.dump());
    options.enable_thinking = value.get<bool>();
  }
  return options;
}

void check_conversations(const std::string& subject, const Path& folder, const std::vector<Json>& rows,
                         const std::string& where, Findings& findings) {
  const auto tokenizer = Tokenizer::load(folder);
  const ChatTemplate chat_template = ChatTemplate::load(folder);
  Differences texts, ids, spans;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<Message> messages;
    for (const Json& message : json_get<std::vector<Json>>(rows[i], "messages", where))
      messages.push_back(
          {json_get<std::string>(message, "role", where), json_get<std::string>(message, "content", where)});
    const RenderOptions options = read_options(rows[i], where);
    const auto text = json_get<std::string>(rows[i], "text", where);
    const auto expected = json_get<Ids>(rows[i], "ids", where);
    const auto note = [&] { return excerpt("line", i + 1, text); };
    texts.add(chat_template.render_text(messages, options) == text, note);
    if (options.add_generation_prompt) {
      ids.add(encode_prompt(*tokenizer, chat_template, messages, options) == expected, note);
      continue;
    }
    const EncodedExample example = encode_example(*tokenizer, chat_template, messages);
    ids.add(example.ids == expected, note);
    if (rows[i].contains("assistant_spans"))
      spans.add(spans_of(example.loss_mask) == json_get<Spans>(rows[i], "assistant_spans", where), note);
  }
  findings.add(texts.figure(subject, "text"));
  findings.add(ids.figure(subject, "ids"));
  if (spans.compared() > 0) findings.add(spans.figure(subject, "assistant_spans"));
}

}  // namespace

void check_text_file(const Path& file, const std::vector<Path>& places, Findings& findings) {
  const std::string name = file.stem().string(), where = file.string();
  const std::string kind = file.parent_path().filename().string();
  const std::string subject = fmt::format("{}/{}", kind, name);
  findings.guard(subject, "file", [&] {
    const std::vector<Json> rows = read_lines(file);
    const bool chat = rows.front().contains("messages");
    require(rows.front().contains("ids") && rows.front().contains("text"),
            "{}: lines of {{\"text\", \"ids\"}} (and \"messages\") were expected, found {}", where,
            rows.front().dump().substr(0, 80));
    const Path folder = find_tokenizer(name, places);
    if (chat)
      check_conversations(subject, folder, rows, where, findings);
    else
      check_texts(subject, folder, rows, where, findings);
  });
}

}  // namespace ranktune
