#include "data/conversation.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"
#include "data/text_checks.h"

namespace ranktune {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

/// Thrown inside this file only: the row's problem on its way out of nested values.
struct Refusal {
  RowProblem problem;
  std::string detail;
};

template <typename... Args>
[[noreturn]] void refuse(RowProblem problem, fmt::format_string<Args...> format, Args&&... args) {
  throw Refusal{problem, fmt::format(format, std::forward<Args>(args)...)};
}

const char* kind_of(element value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "a list";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "true or false";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

/// The value of a key that is there and not null.
const element* find(object row, const char* key, element& value) {
  if (row[key].get(value) != simdjson::SUCCESS || value.is_null()) return nullptr;
  return &value;
}

std::string string_of(element value, const char* key) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) {
    refuse(RowProblem::kWrongKeys, "\"{}\" is {} instead of a string", key, kind_of(value));
  }
  return std::string(text);
}

std::string string_or_empty(object row, const char* key) {
  element value;
  return find(row, key, value) == nullptr ? std::string() : string_of(value, key);
}

bool has(object row, const char* key) {
  element value;
  return row[key].get(value) == simdjson::SUCCESS;
}

std::string keys_of(object row) {
  std::string text;
  std::size_t count = 0;
  for (const auto field : row) {
    if (++count > 8) return text + ", …";
    text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", field.key.substr(0, 40));
  }
  return text.empty() ? "none" : text;
}

/// A key nobody reads is harmless, unless it is a misspelt one of ours: then its text would silently be lost.
void check_misspelt(object row, std::span<const std::string> known) {
  for (const auto field : row) {
    const std::string near = nearest(field.key, known);
    if (!near.empty() && near != field.key && !has(row, near.c_str())) {
      refuse(RowProblem::kWrongKeys, "unknown key \"{}\"; did you mean \"{}\"?", field.key, near);
    }
  }
}

void check_history(object row, std::vector<Message>& messages) {
  element history;
  if (find(row, "history", history) == nullptr) return;
  array pairs;
  if (history.get_array().get(pairs) != simdjson::SUCCESS) {
    refuse(RowProblem::kWrongKeys, "\"history\" is {} instead of a list of pairs", kind_of(history));
  }
  for (const element pair : pairs) {
    array both;
    if (pair.get_array().get(both) != simdjson::SUCCESS || both.size() != 2) {
      refuse(RowProblem::kWrongKeys, "\"history\" holds something else than [prompt, answer] pairs");
    }
    messages.push_back({"user", string_of(both.at(0).value_unsafe(), "history")});
    messages.push_back({"assistant", string_of(both.at(1).value_unsafe(), "history")});
  }
}

std::vector<Message> read_alpaca(object row) {
  static const std::array<std::string, 5> known{"instruction", "input", "output", "system", "history"};
  for (const char* key : {"instruction", "output"}) {
    if (!has(row, key))
      refuse(RowProblem::kWrongKeys, "\"{}\" is missing; the keys are {}", key, keys_of(row));
  }
  check_misspelt(row, known);
  std::vector<Message> messages;
  if (std::string system = string_or_empty(row, "system"); !system.empty()) {
    messages.push_back({"system", std::move(system)});
  }
  check_history(row, messages);
  std::string prompt = string_or_empty(row, "instruction");
  const std::string input = string_or_empty(row, "input");
  if (!is_blank_text(input)) prompt += (prompt.empty() ? "" : "\n") + input;
  messages.push_back({"user", std::move(prompt)});
  messages.push_back({"assistant", string_or_empty(row, "output")});
  return messages;
}

std::string role_of(std::string_view name) {
  using Names = std::array<std::pair<std::string_view, const char*>, 6>;
  static constexpr Names kRoles{{{"system", "system"},
                                 {"developer", "system"},
                                 {"user", "user"},
                                 {"human", "user"},
                                 {"assistant", "assistant"},
                                 {"gpt", "assistant"}}};
  for (const auto& [each, role] : kRoles) {
    if (each == name) return role;
  }
  refuse(RowProblem::kRoleOrder, "the role \"{}\" is unknown", name.substr(0, 40));
}

/// A string, or OpenAI's list of parts of type text.
std::string content_of(element value, const char* key) {
  array parts;
  if (value.get_array().get(parts) != simdjson::SUCCESS) return string_of(value, key);
  std::string text;
  for (const element part : parts) {
    std::string_view type, piece;
    if (part["type"].get_string().get(type) != simdjson::SUCCESS || type != "text" ||
        part["text"].get_string().get(piece) != simdjson::SUCCESS) {
      refuse(RowProblem::kWrongKeys, "\"{}\" holds a part that is not text", key);
    }
    text += piece;
  }
  return text;
}

void check_weight(object turn) {
  element weight;
  double value = 1.0;
  if (find(turn, "weight", weight) == nullptr) return;
  if (weight.get_double().get(value) != simdjson::SUCCESS || value != 1.0) {
    refuse(RowProblem::kWrongKeys,
           "a message has a \"weight\" other than 1: every answer is trained on alike");
  }
}

Message read_turn(element value, const char* list) {
  object turn;
  if (value.get_object().get(turn) != simdjson::SUCCESS) {
    refuse(RowProblem::kWrongKeys, "\"{}\" holds {} instead of an object", list, kind_of(value));
  }
  const bool share = has(turn, "from");
  const char* role_key = share ? "from" : "role";
  const char* text_key = share ? "value" : "content";
  element role, text;
  if (find(turn, role_key, role) == nullptr || !has(turn, text_key)) {
    refuse(RowProblem::kWrongKeys, "a turn needs \"{}\" and \"{}\"; its keys are {}", role_key, text_key,
           keys_of(turn));
  }
  check_weight(turn);
  const std::string name = role_of(string_of(role, role_key));
  return {name, find(turn, text_key, text) == nullptr ? std::string() : content_of(text, text_key)};
}

std::vector<Message> read_turns(object row, const char* list) {
  std::vector<Message> messages;
  if (std::string system = string_or_empty(row, "system"); !system.empty()) {
    messages.push_back({"system", std::move(system)});
  }
  element value;
  array turns;
  if (find(row, list, value) == nullptr || value.get_array().get(turns) != simdjson::SUCCESS) {
    refuse(RowProblem::kWrongKeys, "\"{}\" is not a list of turns", list);
  }
  element tools;
  array tool_list;
  if (find(row, "tools", tools) != nullptr &&
      (tools.get_array().get(tool_list) != simdjson::SUCCESS || tool_list.size() > 0)) {
    refuse(RowProblem::kWrongKeys, "the row has \"tools\", which are not supported");
  }
  for (const element turn : turns) messages.push_back(read_turn(turn, list));
  return messages;
}

const char* share_list(object row) { return has(row, "conversation") ? "conversation" : "conversations"; }

DataFormat form_of(object row) {
  if (has(row, "messages")) return DataFormat::kMessages;
  if (has(row, "conversations") || has(row, "conversation")) return DataFormat::kShareGpt;
  if (has(row, "instruction") || has(row, "output")) return DataFormat::kAlpaca;
  refuse(
      RowProblem::kWrongKeys,
      "neither alpaca (instruction, output), ShareGPT (conversations) nor OpenAI (messages); the keys are {}",
      keys_of(row));
}

}  // namespace

void check_turns(ParsedRow& row) {
  const auto refuse_row = [&](RowProblem problem, std::string detail) {
    row.problem = problem;
    row.detail = std::move(detail);
  };
  const std::vector<Message>& messages = row.messages;
  const std::size_t first = !messages.empty() && messages.front().role == "system" ? 1 : 0;
  if (messages.size() == first) return refuse_row(RowProblem::kRoleOrder, "there is no turn");
  for (std::size_t i = first; i < messages.size(); ++i) {
    const char* expected = (i - first) % 2 == 0 ? "user" : "assistant";
    if (messages[i].role != expected) {
      return refuse_row(RowProblem::kRoleOrder,
                        fmt::format("turn {} is {}'s, it should be {}'s", i + 1, messages[i].role, expected));
    }
  }
  if (messages.back().role != "assistant") {
    return refuse_row(RowProblem::kRoleOrder, "the last turn is the user's, there is no answer to learn");
  }
  for (std::size_t i = first; i < messages.size(); ++i) {
    if (!is_blank_text(messages[i].content)) continue;
    const bool answer = messages[i].role == "assistant";
    return refuse_row(answer ? RowProblem::kEmptyOutput : RowProblem::kNoPrompt,
                      fmt::format("turn {} ({}) has no text", i + 1, answer ? "answer" : "prompt"));
  }
}

struct ConversationParser::State {
  DataFormat format;
  simdjson::dom::parser parser;
  std::string padded;

  element parse(std::string_view record) {
    if (!simdjson::validate_utf8(record.data(), record.size())) {
      refuse(RowProblem::kNonUtf8, "has bytes that are not UTF-8; convert the file");
    }
    padded.assign(record);
    padded.append(simdjson::SIMDJSON_PADDING, ' ');
    element root;
    const auto error = parser.parse(padded.data(), record.size(), false).get(root);
    require(error != simdjson::MEMALLOC && error != simdjson::CAPACITY,
            "a row of {} bytes cannot be parsed: {}", record.size(), simdjson::error_message(error));
    if (error != simdjson::SUCCESS) {
      refuse(RowProblem::kBrokenJson, "is not JSON: {}", simdjson::error_message(error));
    }
    return root;
  }

  void read(std::string_view record, ParsedRow& result) {
    const element root = parse(record);
    object row;
    if (root.get_object().get(row) != simdjson::SUCCESS) {
      refuse(RowProblem::kWrongKeys, "is {} instead of an object", kind_of(root));
    }
    result.format = format == DataFormat::kAuto ? form_of(row) : format;
    switch (result.format) {
      case DataFormat::kAlpaca:
        result.messages = read_alpaca(row);
        break;
      case DataFormat::kShareGpt:
        result.messages = read_turns(row, share_list(row));
        break;
      default:
        result.messages = read_turns(row, "messages");
    }
    check_turns(result);
  }
};

ConversationParser::ConversationParser(DataFormat format) : state_(std::make_unique<State>()) {
  require(format != DataFormat::kText, "plain text has no JSON rows");
  state_->format = format;
}

ConversationParser::~ConversationParser() = default;

ParsedRow ConversationParser::parse(std::string_view record) {
  ParsedRow result;
  try {
    state_->read(record, result);
  } catch (const Refusal& refusal) {
    result.problem = refusal.problem;
    result.detail = refusal.detail;
  }
  return result;
}

}  // namespace ranktune
