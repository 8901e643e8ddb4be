#include "data/prep_row.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "data/text_checks.h"

namespace ranktune {
namespace {

void replace_all(std::string& text, std::string_view mark, const std::string& value) {
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + value.size())) {
    text.replace(at, mark.size(), value);
  }
}

std::pair<std::uint64_t, std::uint64_t> split_hash(const std::string& hex) {
  return {std::stoull(hex.substr(0, 16), nullptr, 16), std::stoull(hex.substr(16), nullptr, 16)};
}

/// Lengths go in as well, so that moving text from one message to the next changes the key.
std::pair<std::uint64_t, std::uint64_t> key_of(const std::vector<Message>& messages) {
  Hasher hasher;
  for (const Message& message : messages) {
    const std::uint64_t size = message.content.size();
    hasher.add(message.role).add(std::as_bytes(std::span(&size, 1))).add(message.content);
  }
  return split_hash(hasher.hex());
}

/// Position behind the last target; 0 when there is none.
std::size_t targets_end(const std::vector<std::uint8_t>& mask) {
  const auto last = std::find(mask.rbegin(), mask.rend(), std::uint8_t{1});
  return static_cast<std::size_t>(mask.rend() - last);
}

}  // namespace

RowPreparer::RowPreparer(const PrepContext& context)
    : context_(context),
      parser_(context.options.format == DataFormat::kText ? DataFormat::kAuto : context.options.format),
      length_(context.tokenizer, context.chat_template, context.options.max_length,
              context.options.over_length) {}

PreparedRow RowPreparer::from_json(std::string_view record, std::int64_t line) {
  PreparedRow row;
  row.line = line;
  ParsedRow parsed = parser_.parse(record);
  finish(parsed, row);
  return row;
}

PreparedRow RowPreparer::from_messages(std::vector<Message> messages, std::int64_t line) {
  PreparedRow row;
  row.line = line;
  ParsedRow parsed;
  parsed.format = DataFormat::kText;
  parsed.messages = std::move(messages);
  finish(parsed, row);
  return row;
}

void RowPreparer::finish(ParsedRow& parsed, PreparedRow& row) {
  row.form = parsed.format;
  row.problem = parsed.problem;
  row.detail = std::move(parsed.detail);
  if (row.problem != RowProblem::kNone) return;
  std::vector<Message>& messages = parsed.messages;
  for (Message& message : messages) {
    if (!fill_markers(message.content) && !context_.options.allow_markers) {
      row.problem = RowProblem::kUnfilledMarker;
      row.detail = "holds {{name}} or {{author}}; say what stands there (name, author), or allow_markers";
      return;
    }
    row.control_characters = row.control_characters || has_control_characters(message.content);
    row.html_remains = row.html_remains || has_html_remains(message.content);
  }
  row.unfinished = looks_unfinished(messages.back().content);
  if (messages.front().role != "system" && !context_.options.system.empty()) {
    messages.insert(messages.begin(), Message{"system", context_.options.system});
  }
  row.key = key_of(messages);
  row.prompt_hash = split_hash(hash_hex(messages[messages.front().role == "system" ? 1 : 0].content)).first;
  tokenise(messages, row);
}

void RowPreparer::tokenise(const std::vector<Message>& messages, PreparedRow& row) {
  FittedRow fitted;
  try {
    fitted = length_.fit(messages);
  } catch (const Error& error) {
    // Some templates refuse what others take (a system message, an order of turns).
    row.problem = RowProblem::kRoleOrder;
    row.detail = error.what();
    return;
  }
  row.detail = std::move(fitted.detail);
  row.changed = fitted.over_long && !fitted.rows.empty();
  row.lost_exchanges = fitted.lost_exchanges;
  if (fitted.rows.empty()) {
    row.problem = RowProblem::kOverLong;
    return;
  }
  for (EncodedExample& example : fitted.rows) {
    const std::size_t end = targets_end(example.loss_mask);
    if (end == 0) {
      row.problem = RowProblem::kNoTarget;
      row.detail = "the template marks none of its tokens for training";
      row.rows.clear();
      return;
    }
    row.end_token_missing = row.end_token_missing || example.ids[end - 1] != context_.end_of_turn;
    row.rows.push_back({.tokens = std::move(example.ids), .loss_mask = std::move(example.loss_mask)});
  }
}

/// Puts the given name and author in; false where a mark stays.
bool RowPreparer::fill_markers(std::string& text) const {
  if (text.find("{{") == std::string::npos) return true;
  if (!context_.options.name.empty()) replace_all(text, "{{name}}", context_.options.name);
  if (!context_.options.author.empty()) replace_all(text, "{{author}}", context_.options.author);
  return text.find("{{name}}") == std::string::npos && text.find("{{author}}") == std::string::npos;
}

}  // namespace ranktune
