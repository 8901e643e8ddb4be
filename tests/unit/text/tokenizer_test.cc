// Properties of encoding and decoding that hold for any text.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "base/random.h"
#include "support/least_cpu_seconds.h"
#include "text/unicode.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

class TokenizerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { tokenizer_ = load_reference_tokenizer("qwen2.5").release(); }
  static void TearDownTestSuite() { delete tokenizer_; }

  static std::string random_text(std::uint64_t seed, std::size_t pieces) {
    static const char* const kPieces[] = {"the ", "你好", "。",         "1",           "\n", "  ",   "é",
                                          "ß",    "🙂", "<|im_end|>", "<tool_call>", "'s", "Qwen", "、",
                                          "\t",   "<|",   "e\u0301",    "क्षि",         "각", "x"};
    const CounterRandom random(seed);
    std::string text;
    for (std::size_t i = 0; i < pieces; ++i) text += kPieces[random.bits(i) % std::size(kPieces)];
    return text;
  }

  static inline const Tokenizer* tokenizer_ = nullptr;
};

TEST_F(TokenizerTest, DecodeGivesTheNormalisedTextBack) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const std::string text = random_text(seed, 40);
    std::string normalised;
    append_nfc(text, normalised);
    EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(text)), normalised);
    EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(text, SpecialTokens::kAsText)), normalised);
  }
}

TEST_F(TokenizerTest, PartsAreTokenisedAsOneText) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const std::string text = random_text(seed, 30);
    std::vector<TextPart> parts;
    const CounterRandom random(seed);
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = std::min(text.size(), at + random.bits(parts.size()) % 9);
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      parts.push_back({std::string_view(text).substr(at, end - at)});
      at = end;
    }
    Ids ids{7};
    const std::vector<std::size_t> first = tokenizer_->encode_parts(parts, ids);
    EXPECT_EQ(Ids(ids.begin() + 1, ids.end()), tokenizer_->encode(text));
    ASSERT_EQ(first.size(), parts.size());
    // Tokens before a part's first one begin before the part, the others do not.
    std::string prefix, normalised;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      normalised.clear();
      append_nfc(prefix, normalised);
      std::size_t begin = 0, token = 1;
      for (; token < ids.size() && begin < normalised.size(); ++token)
        begin += tokenizer_->token_bytes(ids[token]).size();
      EXPECT_EQ(first[i], token) << seed << " part " << i;
      prefix += parts[i].text;
    }
  }
}

TEST_F(TokenizerTest, SpecialTokensAreFoundOnlyInPartsThatAllowThem) {
  const TextPart parts[] = {
      {"<|im_end|>", SpecialTokens::kAsText}, {"<|im_end|>"}, {"<|im_"}, {"end|>", SpecialTokens::kAsText}};
  Ids ids;
  tokenizer_->encode_parts(parts, ids);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 151645), 1);
  EXPECT_EQ(tokenizer_->decode(ids), "<|im_end|><|im_end|><|im_end|>");
}

TEST_F(TokenizerTest, BytesThatAreNoUtf8CountAsReplacementCharacters) {
  EXPECT_EQ(tokenizer_->encode("a\xFF\xE4\xBD z\xC3"), tokenizer_->encode("a\uFFFD\uFFFD z\uFFFD"));
  EXPECT_EQ(tokenizer_->encode("\xED\xA0\x80"), tokenizer_->encode("\uFFFD\uFFFD\uFFFD"));  // a surrogate
}

double encoding_seconds(const Tokenizer& tokenizer, const std::string& text) {
  return least_cpu_seconds([&] { tokenizer.encode(text); });
}

TEST_F(TokenizerTest, TimeIsLinearInTheLengthOfAWord) {
  for (const std::string_view unit : {"a", "你", "ab", "哈", "0", " ", "=", "\xCC\x81"}) {
    std::string word;
    while (word.size() < 1'000'000) word += unit;
    EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(word)), word);
    const std::string eighth = word.substr(0, word.size() / 8 / unit.size() * unit.size());
    // Quadratic would be 64 times, n log n about 9.
    EXPECT_LT(encoding_seconds(*tokenizer_, word), 40 * encoding_seconds(*tokenizer_, eighth) + 0.005)
        << unit;
  }
}

TEST_F(TokenizerTest, ThreadsGetTheSameIds) {
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    texts.push_back(random_text(seed, 50));
    expected.push_back(tokenizer_->encode(texts.back()));
  }
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 400; ++i) {
        const std::size_t which = (i * (t + 3)) % texts.size();
        wrong[t] += tokenizer_->encode(texts[which]) != expected[which];
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST_F(TokenizerTest, StreamsGiveWholeCharacters) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Ids ids = tokenizer_->encode(random_text(seed, 40));
    StreamDecoder stream(*tokenizer_, false);
    std::string text;
    for (const std::int32_t id : ids) {
      const std::string piece = stream.push(id);
      EXPECT_TRUE(is_valid_utf8(piece));
      text += piece;
    }
    EXPECT_EQ(stream.finish(), "");
    EXPECT_EQ(text, tokenizer_->decode(ids));
  }
}

TEST_F(TokenizerTest, StreamsHoldBackHalfCharactersAndReplaceDamage) {
  const auto byte = [](const char* bytes) { return *tokenizer_->id_of(bytes); };
  StreamDecoder stream(*tokenizer_);
  EXPECT_EQ(stream.push(byte("\xE4")), "");
  EXPECT_EQ(stream.push(byte("\xBD")), "");
  EXPECT_EQ(stream.push(byte("\xA0")), "你");
  EXPECT_EQ(stream.push(byte("\xE4")), "");
  EXPECT_EQ(stream.push(byte("a")), "\uFFFDa");
  EXPECT_EQ(stream.push(byte("\xBD")), "\uFFFD");
  EXPECT_EQ(stream.push(*tokenizer_->id_of("<|im_end|>")), "");
  EXPECT_EQ(stream.push(tokenizer_->vocabulary_size()), "");  // a row of the model that is no token
  EXPECT_EQ(stream.push(byte("\xF0")), "");
  EXPECT_EQ(stream.push(byte("\x9F")), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace ranktune
