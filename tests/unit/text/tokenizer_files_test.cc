// What the readers of tokenizer.json and qwen.tiktoken take and refuse.
#include <gtest/gtest.h>

#include <functional>

#include "base/json.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

// All bytes, "ab", "abc", and two added tokens.
Json small_tokenizer() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[byte_symbol(static_cast<unsigned char>(byte))] = byte;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  return {{"added_tokens",
           {{{"id", 258}, {"content", "<|end|>"}, {"special", true}, {"normalized", false}},
            {{"id", 260}, {"content", "<tag>"}, {"special", false}, {"normalized", false}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", "ab c"}}}}};
}

std::unique_ptr<const Tokenizer> load_text(const std::string& file, const std::string& text) {
  const TempDir folder;
  write_file(folder / file, text);
  return Tokenizer::load(folder.path());
}
std::unique_ptr<const Tokenizer> load(const Json& json) { return load_text("tokenizer.json", json.dump()); }

TEST(TokenizerJson, TheSmallOneWorks) {
  const auto tokenizer = load(small_tokenizer());
  EXPECT_EQ(tokenizer->encode("abcab<|end|>c<tag>"), (Ids{257, 256, 258, 'c', 260}));
  EXPECT_EQ(tokenizer->encode("<|end|><tag>", SpecialTokens::kAsText),
            (Ids{'<', '|', 'e', 'n', 'd', '|', '>', 260}));
  EXPECT_EQ(tokenizer->vocabulary_size(), 261);
  EXPECT_EQ(tokenizer->token_bytes(259), "");
  EXPECT_EQ(tokenizer->id_of("<|end|>"), 258);
  EXPECT_EQ(tokenizer->id_of("abc"), 257);
  EXPECT_EQ(tokenizer->id_of("xyz"), std::nullopt);
  EXPECT_TRUE(tokenizer->is_special(258));
  EXPECT_FALSE(tokenizer->is_special(260));
  EXPECT_EQ(tokenizer->decode(Ids{257, 258, 260}, true), "abc<tag>");
  expect_error([&] { tokenizer->token_bytes(261); }, "261");
  expect_error([&] { tokenizer->decode(Ids{-1}); }, "-1");
}

TEST(TokenizerJson, FingerprintFollowsWhatDecidesIds) {
  const std::string original = load(small_tokenizer())->fingerprint();
  EXPECT_EQ(load(small_tokenizer())->fingerprint(), original);
  Json same = small_tokenizer();
  same["model"]["merges"] = Json::array({Json::array({"a", "b"}), Json::array({"ab", "c"})});
  same["truncation"] = nullptr;
  EXPECT_EQ(load(same)->fingerprint(), original);
  const std::vector<std::function<void(Json&)>> changes{
      [](Json& j) { j["model"]["merges"].erase(1); },
      [](Json& j) {
        j["normalizer"] = {{"type", "NFC"}};
      },
      [](Json& j) { j["pre_tokenizer"]["use_regex"] = false; },
      [](Json& j) { j["added_tokens"][0]["special"] = false; },
      [](Json& j) { j["added_tokens"][0]["content"] = "<|End|>"; },
      [](Json& j) { j["model"]["ignore_merges"] = true; },
      [](Json& j) { std::swap(j["model"]["vocab"]["ab"], j["model"]["vocab"]["abc"]); },
  };
  for (const auto& change : changes) {
    Json changed = small_tokenizer();
    change(changed);
    EXPECT_NE(load(changed)->fingerprint(), original) << changed.dump().substr(0, 300);
  }
}

struct BadJson {
  const char* name;
  std::function<void(Json&)> spoil;
  const char* message;
};

class BadTokenizerJson : public ::testing::TestWithParam<BadJson> {};

TEST_P(BadTokenizerJson, IsRefusedWithTheReason) {
  Json json = small_tokenizer();
  GetParam().spoil(json);
  expect_error([&] { load(json); }, "tokenizer.json", GetParam().message);
}

const BadJson kBadJson[] = {
    {"not_object",
     [](Json& j) {
       j = {1, 2};
     },
     "not a JSON object"},
    {"no_model", [](Json& j) { j.erase("model"); }, "\"model\" is missing"},
    {"no_decoder", [](Json& j) { j.erase("decoder"); }, "\"decoder\" is missing"},
    {"no_splitting", [](Json& j) { j.erase("pre_tokenizer"); }, "\"pre_tokenizer\" is missing"},
    {"model_is_text", [](Json& j) { j["model"] = "BPE"; }, "not an object"},
    {"unigram", [](Json& j) { j["model"]["type"] = "Unigram"; }, "Unigram"},
    {"affix", [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix"},
    {"byte_fallback", [](Json& j) { j["model"]["byte_fallback"] = true; }, "byte_fallback"},
    {"dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, "dropout"},
    {"metaspace",
     [](Json& j) {
       j["decoder"] = {{"type", "Metaspace"}};
     },
     "ByteLevel"},
    {"no_vocab", [](Json& j) { j["model"].erase("vocab"); }, "vocab"},
    {"empty_vocab", [](Json& j) { j["model"]["vocab"] = Json::object(); }, "vocab"},
    {"vocab_list",
     [](Json& j) {
       j["model"]["vocab"] = {"a", "b"};
     },
     "vocab"},
    {"no_bytes",
     [](Json& j) {
       j["model"] = {{"vocab", {{"xyz", 0}}}, {"merges", Json::array()}};
     },
     "byte"},
    {"text_id", [](Json& j) { j["model"]["vocab"]["ab"] = "256"; }, "not an integer"},
    {"fraction_id", [](Json& j) { j["model"]["vocab"]["ab"] = 256.5; }, "not an integer"},
    {"negative_id", [](Json& j) { j["model"]["vocab"]["ab"] = -256; }, "-256"},
    {"huge_id", [](Json& j) { j["model"]["vocab"]["ab"] = 18446744073709551615u; }, "18446744073709551615"},
    {"lone_large_id", [](Json& j) { j["model"]["vocab"]["ab"] = 4194303; }, "vocabulary of this size"},
    {"duplicate_id", [](Json& j) { j["model"]["vocab"]["ab"] = 97; }, "id 97 is given to two tokens"},
    {"no_merges", [](Json& j) { j["model"].erase("merges"); }, "merges"},
    {"unknown_left", [](Json& j) { j["model"]["merges"][0] = "xy b"; }, "merge 0 names \"xy\""},
    {"unknown_whole",
     [](Json& j) {
       j["model"]["merges"][1] = {"c", "d"};
     },
     "merge 1 names \"cd\""},
    {"merge_of_one", [](Json& j) { j["model"]["merges"][0] = "ab"; }, "merge 0"},
    {"merge_of_three",
     [](Json& j) {
       j["model"]["merges"][0] = {"a", "b", "c"};
     },
     "merge 0"},
    {"merge_number", [](Json& j) { j["model"]["merges"][0] = 5; }, "merge 0"},
    {"unk_not_there", [](Json& j) { j["model"]["unk_token"] = "<unk>"; }, "<unk>"},
    {"added_object",
     [](Json& j) {
       j["added_tokens"] = {{"a", 1}};
     },
     "\"added_tokens\" is not a list"},
    {"added_no_id", [](Json& j) { j["added_tokens"][0].erase("id"); }, "\"id\" is missing"},
    {"added_negative", [](Json& j) { j["added_tokens"][0]["id"] = -1; }, "-1"},
    {"added_empty", [](Json& j) { j["added_tokens"][0]["content"] = ""; }, "empty"},
    {"added_twice", [](Json& j) { j["added_tokens"][1]["id"] = 258; }, "258"},
    {"added_takes_id", [](Json& j) { j["added_tokens"][0]["id"] = 97; }, "another token's"},
    {"added_other_id", [](Json& j) { j["added_tokens"][0]["content"] = "abc"; }, "gives it 257"},
    {"single_word", [](Json& j) { j["added_tokens"][0]["single_word"] = true; }, "single_word"},
    {"lowercase",
     [](Json& j) {
       j["normalizer"] = {{"type", "Lowercase"}};
     },
     "Lowercase"},
    {"whitespace",
     [](Json& j) {
       j["pre_tokenizer"] = {{"type", "Whitespace"}};
     },
     "\"Whitespace\""},
    {"no_byte_level",
     [](Json& j) {
       j["pre_tokenizer"] = {{"type", "Digits"}};
     },
     "ByteLevel"},
    {"prefix_space", [](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }, "add_prefix_space"},
    {"bad_regex",
     [](Json& j) {
       const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
       j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, j["pre_tokenizer"]}}};
     },
     "does not compile"},
    {"split_behavior",
     [](Json& j) {
       const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "MergedWithNext"}};
       j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, j["pre_tokenizer"]}}};
     },
     "MergedWithNext"},
};

INSTANTIATE_TEST_SUITE_P(All, BadTokenizerJson, ::testing::ValuesIn(kBadJson),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(TokenizerJson, EveryTruncationIsRefused) {
  const std::string whole = small_tokenizer().dump();
  for (std::size_t size = 0; size < whole.size(); size += 97)
    expect_error([&] { load_text("tokenizer.json", whole.substr(0, size)); }, "tokenizer.json");
}

TEST(TokenizerFiles, AbsentOnesAreNamed) {
  const TempDir empty;
  expect_error([&] { Tokenizer::load(empty.path()); }, empty.path().string(), "tokenizer.json",
               "qwen.tiktoken");
  expect_error([&] { Tokenizer::load(empty / "nowhere"); }, "no such model folder");
}

// One line of qwen.tiktoken for each byte, in base64 worked out by Python's rules: 6 bits a letter, "==" at
// the end.
std::string byte_ranks() {
  static constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (unsigned byte = 0; byte < 256; ++byte)
    text += std::string{kLetters[byte >> 2], kLetters[byte << 4 & 63]} + "== " + std::to_string(byte) + "\n";
  return text;
}

TEST(Tiktoken, ReadsRanksAndPutsTheSpecialTokensBehind) {
  const auto tokenizer = load_text("qwen.tiktoken", byte_ranks() + "YWI= 256\r\nYWJj 257\nYmM= 258\n");
  EXPECT_EQ(tokenizer->encode("abc"), Ids{257});
  EXPECT_EQ(tokenizer->encode("xabcx"), (Ids{'x', 257, 'x'}));
  EXPECT_EQ(tokenizer->encode("bcab"), (Ids{258, 256}));
  EXPECT_EQ(tokenizer->encode("<|endoftext|><|im_start|><|im_end|><|extra_204|>"), (Ids{259, 260, 261, 466}));
  EXPECT_EQ(tokenizer->vocabulary_size(), 467);
}

TEST(Tiktoken, DamageIsRefusedWithTheLine) {
  const auto refused = [](const std::string& text, const char* message) {
    expect_error([&] { load_text("qwen.tiktoken", text); }, "qwen.tiktoken", message);
  };
  refused(byte_ranks() + "YWI=256\n", ":257: no space");
  for (const char* bad : {"YW=I", "YWI", "Y===", "YW!=", "YWJ=", ""})
    refused(byte_ranks() + bad + " 256\n", ":257: ");
  refused(byte_ranks() + "YWI= x\n", ":257: \"x\" is not a rank");
  refused(byte_ranks() + "YWI= -1\n", ":257: rank -1 where 256");
  refused(byte_ranks() + "YWI= 99999999999999999999\n", "is not a rank");
  refused(byte_ranks() + "YWI= 258\n", ":257: rank 258 where 256");
  refused(byte_ranks() + "YWI= 256\nYWI= 257\n", "ranks 256 and 257 are the same token");
  refused(byte_ranks().substr(0, byte_ranks().find("\n", 1200) + 1), "no token for the byte");
  refused("", "no token for the byte 0x00");
}

TEST(Tiktoken, RefusesAnotherTokenizersConfig) {
  const TempDir folder;
  write_file(folder / "qwen.tiktoken", byte_ranks());
  write_file(folder / "tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})");
  expect_error([&] { Tokenizer::load(folder.path()); }, "Qwen2Tokenizer", "tokenizer.json");
  write_file(folder / "tokenizer_config.json", R"({"tokenizer_class": "QWenTokenizer"})");
  EXPECT_EQ(Tokenizer::load(folder.path())->vocabulary_size(), 256 + 208);
}

}  // namespace
}  // namespace ranktune
