#include "data/tokenize_records.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/json.h"
#include "support/expect_error.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

class TokenizeRecords : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { tokenizer_ = load_reference_tokenizer("smollm2").release(); }
  static void TearDownTestSuite() { delete tokenizer_; }

  std::string run(const std::string& input, const TokenizeOptions& options = {}) {
    write_file(folder_ / "in.jsonl", input);
    std::string output;
    summary_ = tokenize_records(folder_ / "in.jsonl", *tokenizer_, options,
                                [&](std::string_view lines) { output += lines; });
    return output;
  }

  static inline const Tokenizer* tokenizer_ = nullptr;
  TempDir folder_;
  TokenizeSummary summary_;
};

TEST_F(TokenizeRecords, IdsAreTheReferencesInTheOrderOfTheInput) {
  std::istringstream golden(
      read_zst(Path(RANKTUNE_TEST_DATA) / "tokenizers" / "smollm2" / "golden.jsonl.zst"));
  std::string texts, ids, plain;
  for (std::string line; std::getline(golden, line);) {
    const Json row = parse_json(line, "golden");
    texts += Json{{"other", 1}, {"text", row["text"]}}.dump() + "\n";
    ids += Json{{"ids", row["ids"]}}.dump() + "\n";
    plain += Json{{"ids", row.contains("ids_plain") ? row["ids_plain"] : row["ids"]}}.dump() + "\n";
  }
  ASSERT_NE(ids, plain);
  EXPECT_EQ(run(texts), ids);
  EXPECT_EQ(run(texts, {.specials = SpecialTokens::kAsText}), plain);
}

TEST_F(TokenizeRecords, ManyBatchesOnManyThreadsKeepTheirOrder) {
  std::string texts, again;
  std::int64_t bytes = 0;
  for (int i = 0; i < 6000; ++i) {
    const std::string text =
        std::to_string(i) + std::string(static_cast<std::size_t>(i % 500), 'x') + "\"\n春";
    bytes += static_cast<std::int64_t>(text.size());
    texts += Json{{"text", text}}.dump() + "\n";
  }
  const std::string one = run(texts, {.threads = 1});
  EXPECT_EQ(summary_.records, 6000);
  EXPECT_EQ(summary_.text_bytes, bytes);
  EXPECT_EQ(run(texts, {.threads = 5}), one);
  EXPECT_EQ(run(one, {.decode = true, .threads = 3}), texts);
  EXPECT_EQ(summary_.text_bytes, bytes);
}

TEST_F(TokenizeRecords, HalfCharactersDecodeToReplacementCharacters) {
  const std::int32_t half = *tokenizer_->id_of("\xE4");
  EXPECT_EQ(run(Json{{"ids", {half}}}.dump(), {.decode = true}), "{\"text\":\"\uFFFD\"}\n");
  EXPECT_EQ(run("{\"ids\":[]}\n{\"ids\":[2]}", {.decode = true}),
            "{\"text\":\"\"}\n{\"text\":\"<|im_end|>\"}\n");
  EXPECT_EQ(run("{\"text\":\"\"}"), "{\"ids\":[]}\n");
}

TEST_F(TokenizeRecords, NamesTheLineOfABadRecord) {
  const std::string good = "{\"text\": \"a\"}\n\n";
  const auto bad = [&](const std::string& line, bool decode, const auto&... parts) {
    SCOPED_TRACE(line);
    const std::string before = decode ? "{\"ids\": [1]}\n\n" : good;
    expect_error([&] { run(before + line + "\n" + before, {.decode = decode}); }, "in.jsonl:3: ", parts...);
  };
  bad("{\"text\": \"a\"", false, "is not JSON");
  bad("{\"text\": \"\\ud800\"}", false, "is not JSON");
  bad("{\"text\": \"\xE4\"}", false, "is not JSON");
  bad("[\"a\"]", false, "is not an object with \"text\": [\"a\"]");
  bad("{\"txt\": \"a\"}", false, "is not an object with \"text\": {\"txt\":\"a\"}");
  bad("{\"text\": 7}", false, "\"text\" is not a string: 7");
  bad("{\"text\": \"a\"}", true, "is not an object with \"ids\"");
  bad("{\"ids\": \"a\"}", true, "\"ids\" is not a list");
  bad("{\"ids\": [0, -1]}", true,
      "entry 2 of \"ids\" is -1; ids of this tokenizer are integers from 0 to 49151");
  bad("{\"ids\": [49152]}", true, "entry 1 of \"ids\" is 49152");
  bad("{\"ids\": [1.5]}", true, "entry 1 of \"ids\" is 1.5");
  const std::string longer = Json{{"text", std::string(1 << 20, 'a')}}.dump();
  expect_error([&] { run(good + longer, {.max_record_bytes = 1000}); },
               "in.jsonl:3: ", "more than 1000 bytes");
}

}  // namespace
}  // namespace ranktune
