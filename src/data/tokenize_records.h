#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/file.h"
#include "text/tokenizer.h"

namespace ranktune {

struct TokenizeOptions {
  bool decode = false;                                 ///< {"ids"} -> {"text"} instead of {"text"} -> {"ids"}
  SpecialTokens specials = SpecialTokens::kRecognise;  ///< of special tokens written in a text
  int threads = 0;                                     ///< 0 = all cores
  std::int64_t max_record_bytes = std::int64_t{1} << 30;  ///< a line may not be longer
};

struct TokenizeSummary {
  std::int64_t records = 0;
  std::int64_t text_bytes = 0;  ///< of the texts alone, without the JSON around them
  std::int64_t tokens = 0;
};

/// JSON lines (or one JSON array) of objects with "text" to lines with "ids", or back; other keys are passed
/// over. `write` gets whole lines in the order of the input. Decoded bytes that are not UTF-8 become U+FFFD,
/// because JSON cannot hold them. Memory: a few records of 256 KiB a thread, or the longest ones. Throws,
/// naming file and line, on the first record that cannot be used; what comes before its batch has been
/// written by then.
TokenizeSummary tokenize_records(const Path& input, const Tokenizer& tokenizer,
                                 const TokenizeOptions& options,
                                 const std::function<void(std::string_view)>& write);

}  // namespace ranktune
