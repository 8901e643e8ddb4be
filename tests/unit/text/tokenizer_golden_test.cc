// Ids and decoded text of five tokenizers against the `tokenizers` library (and tiktoken for qwen1).
#include <gtest/gtest.h>

#include <sstream>

#include "base/json.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

class TokenizerGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, IdsAndDecodedTextAreTheReferences) {
  const std::string name = GetParam();
  const auto tokenizer = load_reference_tokenizer(name);
  std::istringstream lines(read_zst(Path(RANKTUNE_TEST_DATA) / "tokenizers" / name / "golden.jsonl.zst"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json row = parse_json(line, name);
    const auto text = row["text"].get<std::string>();
    const auto ids = row["ids"].get<Ids>();
    EXPECT_EQ(tokenizer->encode(text), ids) << row["text"];
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kAsText),
              row.contains("ids_plain") ? row["ids_plain"].get<Ids>() : ids)
        << row["text"];
    EXPECT_EQ(replace_invalid_utf8(tokenizer->decode(ids)), row.value("decoded", text)) << row["text"];
  }
  EXPECT_EQ(count, 200);
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden,
                         ::testing::Values("qwen1", "qwen1.5", "qwen2.5", "qwen3", "smollm2"));

}  // namespace
}  // namespace ranktune
