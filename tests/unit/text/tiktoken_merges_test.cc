// One merge a token instead of every way to cut it: what formats with a list of merges get of a
// qwen.tiktoken.
#include <gtest/gtest.h>

#include <sstream>

#include "base/json.h"
#include "support/expect_error.h"
#include "text/vocabulary.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

/// All bytes in their order, then "ab", "abc" and "bc".
Vocabulary small_vocabulary() {
  Vocabulary vocabulary{.token_bytes = {},
                        .added = {},
                        .merges = {},
                        .options = {},
                        .pre_tokenizer = PreTokenizer(KnownPattern::kOneDigit),
                        .description = ""};
  for (int byte = 0; byte < 256; ++byte) vocabulary.token_bytes.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"ab", "abc", "bc"}) vocabulary.token_bytes.emplace_back(token);
  return vocabulary;
}

TEST(TiktokenMerges, AreThePartsThatLowerRanksLeave) {
  const auto merges = tiktoken_merges(small_vocabulary(), "here");
  ASSERT_EQ(merges.size(), 3u);
  const auto expect = [&](std::size_t i, std::int32_t left, std::int32_t right) {
    EXPECT_EQ(merges[i].left, left);
    EXPECT_EQ(merges[i].right, right);
    EXPECT_EQ(merges[i].merged, 256 + static_cast<std::int32_t>(i));
  };
  expect(0, 'a', 'b');
  expect(1, 256, 'c');  // not "a" and "bc", which is of a higher rank
  expect(2, 'b', 'c');
}

TEST(TiktokenMerges, ATokenThatTheyCannotMakeIsRefused) {
  Vocabulary vocabulary = small_vocabulary();
  vocabulary.token_bytes.emplace_back("xyz");
  expect_error([&] { tiktoken_merges(vocabulary, "here"); }, "here", "3 parts", "rank 259");
}

TEST(TiktokenMerges, GiveTheSameIds) {
  const ModelFolder folder("qwen1");
  const Path file = folder.path() / "qwen.tiktoken";
  Vocabulary listed = read_tiktoken(file);
  const std::size_t all = listed.merges.size();
  listed.merges = tiktoken_merges(listed, file.string());
  EXPECT_LT(listed.merges.size(), all);
  EXPECT_EQ(listed.merges.size() + 256, listed.token_bytes.size() - listed.added.size());
  listed.options.whole_words_first = false;
  const auto by_list = make_tokenizer(std::move(listed)), by_rank = Tokenizer::load(folder.path());
  std::istringstream lines(read_zst(Path(RANKTUNE_TEST_DATA) / "tokenizers" / "hard.jsonl.zst"));
  for (std::string line; std::getline(lines, line);) {
    const auto text = parse_json(line, "hard.jsonl")["text"].get<std::string>();
    ASSERT_EQ(by_list->encode(text), by_rank->encode(text)) << text;
  }
  // Every token by itself, which the texts do not reach.
  for (std::int32_t id = 0; id < by_rank->vocabulary_size(); ++id) {
    const std::string& bytes = by_rank->token_bytes(id);
    ASSERT_EQ(by_list->encode(bytes), by_rank->encode(bytes)) << id;
  }
}

}  // namespace
}  // namespace ranktune
