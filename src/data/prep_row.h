#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/conversation.h"
#include "data/data_options.h"
#include "data/over_length.h"
#include "data/prep_summary.h"
#include "data/shard_writer.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ranktune {

/// One row of the input after tokenising, or why there is none.
struct PreparedRow {
  std::int64_t line = 0;
  RowProblem problem = RowProblem::kNone;
  std::string detail;  ///< of the problem, or of what the over-length policy did
  bool changed = false;
  std::int64_t lost_exchanges = 0;  ///< of a changed row
  DataFormat form = DataFormat::kAuto;
  std::vector<TokenRow> rows;                   ///< one, or several after splitting
  std::uint64_t prompt_hash = 0;                ///< of the first prompt
  std::pair<std::uint64_t, std::uint64_t> key;  ///< of all messages
  bool control_characters = false, html_remains = false, unfinished = false;
  bool end_token_missing = false;  ///< some row's last target is not the end-of-turn token
};

/// What all working threads share.
struct PrepContext {
  const PrepOptions& options;
  const Tokenizer& tokenizer;
  const ChatTemplate& chat_template;
  std::int32_t end_of_turn;
};

/// Turns records into token rows. One per thread.
class RowPreparer {
 public:
  explicit RowPreparer(const PrepContext& context);
  PreparedRow from_json(std::string_view record, std::int64_t line);
  PreparedRow from_messages(std::vector<Message> messages, std::int64_t line);

 private:
  void finish(ParsedRow& parsed, PreparedRow& row);
  void tokenise(const std::vector<Message>& messages, PreparedRow& row);
  bool fill_markers(std::string& text) const;

  const PrepContext& context_;
  ConversationParser parser_;
  LengthPolicy length_;
};

}  // namespace ranktune
