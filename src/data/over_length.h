#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/data_options.h"
#include "text/encode_example.h"

namespace ranktune {

/// A conversation as token rows of at most max_length, and what had to be done for that.
struct FittedRow {
  std::vector<EncodedExample> rows;  ///< empty: the row is left out
  bool over_long = false;            ///< the conversation as it came was longer than max_length
  std::int64_t lost_exchanges = 0;   ///< pairs of prompt and answer that are in none of the rows
  std::string detail;                ///< what was done or why it is left out; "" where it fitted
};

/// Applies the over-length policy by rewriting the messages and encoding them again, so that what is left is
/// still exactly what the template makes of a conversation, end tokens included.
class LengthPolicy {
 public:
  /// `tokenizer` and `chat_template` must outlive it. kError leaves out like kDrop: the caller reports it.
  LengthPolicy(const Tokenizer& tokenizer, const ChatTemplate& chat_template, std::int64_t max_length,
               OverLength policy);
  /// `messages`: optional system, then user and assistant in turn, the last one assistant.
  FittedRow fit(const std::vector<Message>& messages) const;

 private:
  using Messages = std::vector<Message>;
  EncodedExample encode(const Messages& messages) const;
  std::optional<EncodedExample> encode_fitting(const Messages& messages) const;
  void split(const Messages& messages, FittedRow& result) const;
  void keep_end(const Messages& messages, FittedRow& result) const;
  void terminate(const Messages& messages, FittedRow& result) const;

  const Tokenizer& tokenizer_;
  const ChatTemplate& template_;
  std::size_t max_length_;
  OverLength policy_;
};

}  // namespace ranktune
