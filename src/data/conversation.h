#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/data_options.h"
#include "data/prep_summary.h"
#include "text/chat_template.h"

namespace ranktune {

/// A row as messages, or why it cannot be one.
struct ParsedRow {
  std::vector<Message> messages;
  DataFormat format = DataFormat::kAuto;  ///< the form the row was found in
  RowProblem problem = RowProblem::kNone;
  std::string detail;  ///< of the problem, without file and line
};

/// Turns the text of one JSON row into messages: alpaca (instruction, input, output, system, history),
/// ShareGPT (conversations of from/value, also role/content) or OpenAI messages. Checks UTF-8, JSON, keys,
/// value types, roles and their order (optional system, then user and assistant in turn, the last one
/// assistant), and empty answers. One per thread: it keeps the parser's buffers.
class ConversationParser {
 public:
  /// kAuto accepts every form, row by row.
  explicit ConversationParser(DataFormat format);
  ~ConversationParser();
  ParsedRow parse(std::string_view record);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Order and emptiness of the turns, as parse() checks them; fills problem and detail.
void check_turns(ParsedRow& row);

}  // namespace ranktune
