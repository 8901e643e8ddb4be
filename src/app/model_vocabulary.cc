#include "app/model_vocabulary.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace ranktune {

std::int64_t check_vocabulary(const Tokenizer& tokenizer, std::int64_t rows, const Path& model) {
  constexpr std::int64_t kShown = 4;
  const std::int64_t size = tokenizer.vocabulary_size();
  std::string beyond;
  std::int64_t count = 0;
  for (std::int64_t id = rows; id < size; ++id) {
    const std::string& text = tokenizer.token_bytes(static_cast<std::int32_t>(id));
    if (text.empty()) continue;
    if (++count <= kShown) beyond += fmt::format("{}{} \"{}\"", count == 1 ? "" : ", ", id, text);
  }
  require(count == 0,
          "{}: {} tokens of the tokenizer have no row in the embedding, which has {}: {}{}; use the "
          "tokenizer that "
          "belongs to the model, or give the embedding more rows",
          model.string(), count, rows, beyond, count > kShown ? " …" : "");
  return std::max<std::int64_t>(0, rows - size);
}

}  // namespace ranktune
