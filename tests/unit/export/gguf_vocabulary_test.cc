#include "export/gguf_vocabulary.h"

#include <algorithm>

#include "base/json.h"
#include "storage/gguf.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "support/zst_file.h"

namespace ranktune {
namespace {

constexpr std::int64_t kRows = 151936;  // of the published models' embeddings
constexpr std::int32_t kRanks = 151643;

/// A folder with the published qwen.tiktoken, and the vocabulary that is made of it.
class TiktokenVocabulary : public testing::Test {
 protected:
  TiktokenVocabulary() {
    put("qwen.tiktoken", read_zst(Path(RANKTUNE_TEST_DATA) / "tokenizers/qwen1/qwen.tiktoken.zst"));
  }
  void put(const char* name, const std::string& text) const { write_file(dir_ / name, text); }
  GgufFile made(std::int64_t rows = kRows) const {
    GgufMetadata metadata;
    add_vocabulary(dir_.path(), rows, ChatTemplate::find_own(dir_.path()), metadata);
    GgufWriter(dir_ / "x.gguf", metadata, {}).commit();
    return GgufFile::open(dir_ / "x.gguf");
  }
  const TempDir dir_;
};

TEST_F(TiktokenVocabulary, IsTheOneOfLlamaCppsConverter) {
  const GgufFile file = made();
  EXPECT_EQ(file.get_string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(file.get_string("tokenizer.ggml.pre"), "qwen2");
  const auto tokens = file.get_strings("tokenizer.ggml.tokens");
  const auto types = file.get_ints("tokenizer.ggml.token_type");
  ASSERT_EQ(tokens.size(), static_cast<std::size_t>(kRows));
  ASSERT_EQ(types.size(), tokens.size());
  EXPECT_EQ(tokens[0], "!");
  EXPECT_EQ(tokens[kRanks], "<|endoftext|>");
  EXPECT_EQ(tokens[kRanks + 2], "<|im_end|>");
  EXPECT_EQ(tokens[kRanks + 207], "<|extra_204|>");
  EXPECT_EQ(tokens[kRanks + 208], "[PAD151851]");
  EXPECT_EQ(std::count(types.begin(), types.end(), 1), kRanks);
  EXPECT_EQ(std::count(types.begin(), types.end(), 3), 208);
  EXPECT_EQ(std::count(types.begin(), types.end(), 5), kRows - kRanks - 208);
  const auto merges = file.get_strings("tokenizer.ggml.merges");
  EXPECT_EQ(merges.size(), static_cast<std::size_t>(kRanks - 256));
  EXPECT_EQ(merges.front(), "Ġ Ġ");
  for (const char* name : {"bos", "eos", "padding"})
    EXPECT_EQ(file.get_int(fmt::format("tokenizer.ggml.{}_token_id", name)), kRanks) << name;
  EXPECT_EQ(file.get_int("tokenizer.ggml.eot_token_id"), kRanks + 2);
  EXPECT_FALSE(file.get_bool("tokenizer.ggml.add_bos_token"));
  EXPECT_NE(file.get_string("tokenizer.chat_template").find("You are a helpful assistant."),
            std::string::npos);
}

TEST_F(TiktokenVocabulary, TheFoldersOwnWordOnSpecialTokensGoesFirst) {
  put("config.json", R"({"eos_token_id": 151645})");
  put("tokenizer_config.json", R"({"tokenizer_class": "QWenTokenizer", "pad_token": "<|extra_0|>"})");
  const GgufFile file = made();
  EXPECT_EQ(file.get_int("tokenizer.ggml.eos_token_id"), kRanks + 2);
  EXPECT_EQ(file.get_int("tokenizer.ggml.padding_token_id"), kRanks + 3);
  EXPECT_FALSE(file.has("tokenizer.ggml.eot_token_id"));
}

TEST_F(TiktokenVocabulary, AnEmbeddingWithTooFewRowsIsRefused) {
  expect_error([&] { made(151850); }, "qwen.tiktoken", "151851 tokens", "151850 rows");
}

}  // namespace
}  // namespace ranktune
