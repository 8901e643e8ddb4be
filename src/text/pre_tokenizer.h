#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/pattern_scanner.h"
#include "text/regex_splitter.h"

namespace ranktune {

/// Cuts text into the words that byte-pair merging never crosses: one or more splits, each applied to every
/// piece the ones before it left.
class PreTokenizer {
 public:
  /// A single known pattern.
  explicit PreTokenizer(KnownPattern pattern);
  /// The "pre_tokenizer" of a tokenizer.json: ByteLevel, or a Sequence of Split, Digits and ByteLevel. Throws
  /// on anything else, naming `where`.
  PreTokenizer(const Json& description, std::string_view where);

  /// Appends the ends of the words of `text` (valid UTF-8), ascending; the last is text.size().
  void split(std::string_view text, std::vector<std::size_t>& ends) const;

 private:
  /// Numerals apart from the rest: each alone, or runs of them.
  struct Digits {
    bool individual;
  };
  using Stage = std::variant<KnownPattern, Digits, RegexSplitter>;

  static void apply(const Stage& stage, std::string_view text, std::size_t base,
                    std::vector<std::size_t>& ends);
  void add_stage(const Json& description, std::string_view where);
  void add_split(const Json& description, std::string_view where);

  std::vector<Stage> stages_;
  bool byte_level_ = false;
};

}  // namespace ranktune
