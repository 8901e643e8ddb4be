// Random texts that are hard to tokenise (tests/data/tokenizers/make_hard.py) against `tokenizers` and
// tiktoken, and decoded as they would stream.
#include <gtest/gtest.h>

#include <span>
#include <sstream>

#include "base/json.h"
#include "base/sha256.h"
#include "text/unicode.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

std::string hash_of(const Ids& ids) { return sha256_hex(std::as_bytes(std::span(ids))).substr(0, 8); }

/// Every piece is whole characters, and together they are what decoding at once gives.
void expect_streams(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder stream(tokenizer, /*skip_special=*/false);
  std::string all;
  const auto add = [&](const std::string& piece) {
    ASSERT_EQ(replace_invalid_utf8(piece), piece) << "half a character";
    all += piece;
  };
  for (const std::int32_t id : ids) add(stream.push(id));
  add(stream.finish());
  EXPECT_EQ(all, replace_invalid_utf8(tokenizer.decode(ids)));
}

class HardTexts : public ::testing::TestWithParam<const char*> {};

TEST_P(HardTexts, IdsAreTheReferencesAndStreamInWholeCharacters) {
  const std::string name = GetParam();
  const auto tokenizer = load_reference_tokenizer(name);
  std::istringstream lines(read_zst(Path(RANKTUNE_TEST_DATA) / "tokenizers" / "hard.jsonl.zst"));
  int count = 0, differ = 0;
  for (std::string line; std::getline(lines, line) && differ < 5; ++count) {
    const Json row = parse_json(line, "hard.jsonl");
    const auto text = row["text"].get<std::string>();
    const Ids ids = tokenizer->encode(text);
    const std::string found = hash_of(ids) + "/" + hash_of(tokenizer->encode(text, SpecialTokens::kAsText));
    differ += found != row[name] ? 1 : 0;
    EXPECT_EQ(found, row[name].get<std::string>()) << row["text"];
    expect_streams(*tokenizer, ids);
    // A cut in the middle leaves half a character at the end.
    expect_streams(*tokenizer, Ids(ids.begin() + static_cast<std::ptrdiff_t>(ids.size() / 3),
                                   ids.begin() + static_cast<std::ptrdiff_t>(2 * ids.size() / 3)));
  }
  EXPECT_TRUE(differ > 0 || count == 2500);
}

INSTANTIATE_TEST_SUITE_P(All, HardTexts,
                         ::testing::Values("qwen1", "qwen1.5", "qwen2.5", "qwen3", "smollm2"));

}  // namespace
}  // namespace ranktune
