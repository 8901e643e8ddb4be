#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz.h"
#include "text/tokenizer.h"

namespace ranktune::fuzz {

/// Encodes and decodes with a tokenizer that was accepted. A text may be refused (an expression may take too
/// long on it), but ids that were given out must decode.
inline void use(const Tokenizer& tokenizer, std::string_view text) {
  constexpr std::size_t kMostText = 4096;
  std::vector<std::int32_t> ids;
  const std::array parts{TextPart{"Hello 12345, 你好!\n\n ", SpecialTokens::kRecognise},
                         TextPart{text.substr(0, kMostText), SpecialTokens::kAsText},
                         TextPart{text.substr(0, kMostText), SpecialTokens::kRecognise}};
  std::vector<std::size_t> positions;
  if (!may_refuse([&] { positions = tokenizer.encode_parts(parts, ids); })) return;
  demand(positions.size() == parts.size(), "each part has a position");
  demand(std::is_sorted(positions.begin(), positions.end()) && positions.back() <= ids.size(),
         "positions rise inside the ids");
  StreamDecoder stream(tokenizer, false);
  for (const std::int32_t id : ids) {
    demand(id >= 0 && id < tokenizer.vocabulary_size(), "ids lie in the vocabulary");
    stream.push(id);
  }
  stream.finish();
  demand(may_refuse([&] { tokenizer.decode(ids); }), "ids that were given out decode");
}

}  // namespace ranktune::fuzz
