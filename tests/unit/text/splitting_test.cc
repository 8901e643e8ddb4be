// The hand-written splitting against PCRE2, and Unicode facts.
#include <gtest/gtest.h>
#include <utf8proc.h>

#include "base/random.h"
#include "support/expect_error.h"
#include "text/pattern_scanner.h"
#include "text/pre_tokenizer.h"
#include "text/regex_splitter.h"
#include "text/unicode.h"

namespace ranktune {
namespace {

std::string utf8(std::uint32_t c) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
  return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

// Code points up to U+1FFFF that were assigned in Unicode 9, which every PCRE2 in use knows; from a few
// scripts.
std::string random_text(const CounterRandom& random, std::uint64_t begin) {
  static constexpr std::uint32_t kRanges[][2] = {
      {0x9, 0xD},         {0x20, 0x7E},     {0x20, 0x20},     {0x27, 0x27},     {0xA0, 0x17F},
      {0x391, 0x3A1},     {0x410, 0x44F},   {0x660, 0x669},   {0x2000, 0x200F}, {0x2028, 0x202F},
      {0x2150, 0x2188},   {0x3000, 0x3029}, {0x4E00, 0x4EFF}, {0xAC00, 0xAC20}, {0x1F600, 0x1F64F},
      {0x1D7CE, 0x1D7FF}, {0x180E, 0x180E}, {0x85, 0x85},     {0x300, 0x30F},   {0x61, 0x7A}};
  static constexpr const char* kPieces[] = {"'s", "'LL",  "'\u017F", "'re", "'VE",
                                            "  ", "\r\n", " \n",     "''",  " '"};
  std::string text;
  const std::uint64_t count = random.bits(begin) % 24;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const std::uint64_t bits = random.bits(begin + i);
    if (bits % 4 == 0) {
      text += kPieces[(bits >> 8) % std::size(kPieces)];
      continue;
    }
    const auto& range = kRanges[(bits >> 8) % std::size(kRanges)];
    text += utf8(range[0] + static_cast<std::uint32_t>((bits >> 20) % (range[1] - range[0] + 1)));
  }
  return text;
}

TEST(PatternScanner, AgreesWithPcre2) {
  std::string three(kOneDigitPattern);
  three.replace(three.find("\\p{N}|"), 6, "\\p{N}{1,3}|");
  const CounterRandom random(11);
  for (const std::string& expression : {std::string(kGpt2Pattern), std::string(kOneDigitPattern), three}) {
    const auto pattern = recognise_pattern(expression);
    ASSERT_TRUE(pattern.has_value()) << expression;
    const RegexSplitter splitter(expression, "test");
    for (std::uint64_t i = 0; i < 20000; ++i) {
      const std::string text = random_text(random, i * 64);
      std::vector<std::size_t> scanned, matched;
      scan_pattern(*pattern, text, 5, scanned);
      splitter.split(text, 5, matched);
      ASSERT_EQ(scanned, matched) << expression << "\n" << text;
    }
  }
  EXPECT_FALSE(recognise_pattern("\\p{L}+").has_value());
}

TEST(RegexSplitter, KeepsMatchesAndGaps) {
  const RegexSplitter splitter("b+", "test");
  std::vector<std::size_t> ends;
  splitter.split("abbca", 0, ends);
  EXPECT_EQ(ends, (std::vector<std::size_t>{1, 3, 5}));
}

TEST(RegexSplitter, SpaceIsUnicodesWhiteSpace) {
  const RegexSplitter outside(R"(\s)", "test"), inside(R"([x\s])", "test"), negated(R"(\S+)", "test");
  for (std::uint32_t c = 1; c < 0x3100; ++c) {
    const bool space = (char_classes()[c] & kSpace) != 0;
    std::vector<std::size_t> ends;
    std::string text = "a";
    text.append(utf8(c)).append("b");
    outside.split(text, 0, ends);
    EXPECT_EQ(ends.size(), space ? 3u : 1u) << c;
    ends.clear();
    inside.split(text, 0, ends);
    EXPECT_EQ(ends.size(), space || c == 'x' ? 3u : 1u) << c;
    ends.clear();
    negated.split(text, 0, ends);
    EXPECT_EQ(ends.size(), space ? 3u : 1u) << c;
  }
}

TEST(RegexSplitter, RefusesWhatItWouldMisread) {
  expect_error([] { RegexSplitter("a\\", "file"); }, "file", "backslash");
  expect_error([] { RegexSplitter("\\h+", "file"); }, "\\h");
  expect_error([] { RegexSplitter("[^\\S]", "file"); }, "\\S inside [...]");
  expect_error([] { RegexSplitter("(", "file"); }, "does not compile");
}

TEST(PreTokenizer, DigitsAloneOrInRuns) {
  const auto split = [](bool individual, std::string_view text) {
    const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
    const Json digits = {{"type", "Digits"}, {"individual_digits", individual}};
    const PreTokenizer pre_tokenizer({{"type", "Sequence"}, {"pretokenizers", {digits, byte_level}}}, "test");
    std::vector<std::size_t> ends;
    pre_tokenizer.split(text, ends);
    return ends;
  };
  using Ends = std::vector<std::size_t>;
  EXPECT_EQ(split(true, "ab12c½"), (Ends{2, 3, 4, 5, 7}));
  EXPECT_EQ(split(false, "ab12c½"), (Ends{2, 4, 5, 7}));
  EXPECT_EQ(split(true, ""), Ends{});
}

TEST(Unicode, ClassesAreUtf8procsWhereItKnowsTheCharacter) {
  for (std::uint32_t c = 0; c < kCodePoints; ++c) {
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    if (category == UTF8PROC_CATEGORY_CN) continue;
    const bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    const bool number = category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
    ASSERT_EQ((char_classes()[c] & kLetter) != 0, letter) << std::hex << c;
    ASSERT_EQ((char_classes()[c] & kNumber) != 0, number) << std::hex << c;
  }
}

TEST(Unicode, NfcIsUtf8procsOfTheWholeText) {
  const CounterRandom random(5);
  for (std::uint64_t i = 0; i < 5000; ++i) {
    std::string text;
    for (std::uint64_t k = 0; k < random.bits(i * 32) % 12; ++k) {
      const std::uint64_t bits = random.bits(i * 32 + k + 1);
      static constexpr std::uint32_t kRanges[][2] = {{0x41, 0x7A},     {0xC0, 0x17F},      {0x300, 0x345},
                                                     {0x1100, 0x11FF}, {0xAC00, 0xAC40},   {0x900, 0x9FF},
                                                     {0x3040, 0x30FF}, {0x1E00, 0x1FFF},   {0xF900, 0xFA00},
                                                     {0x4E00, 0x4E20}, {0x2F800, 0x2F820}, {0xB00, 0xDFF}};
      const auto& range = kRanges[bits % std::size(kRanges)];
      text += utf8(range[0] + static_cast<std::uint32_t>((bits >> 20) % (range[1] - range[0] + 1)));
    }
    std::string mine = "x";
    append_nfc(text, mine);
    utf8proc_uint8_t* whole = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
    EXPECT_EQ(mine.substr(1), reinterpret_cast<const char*>(whole));
    free(whole);
  }
}

TEST(Unicode, NfcMovesMarksWithTheText) {
  std::vector<std::size_t> marks{0, 1, 4, 5, 8};
  std::string out;
  append_nfc("xe\u0301y\u212Bz", out,
             &marks);  // x, e + accent (2 bytes less 1), y, Ångström sign (3 bytes, then 2), z
  EXPECT_EQ(out, "x\u00E9y\u00C5z");
  EXPECT_EQ(marks, (std::vector<std::size_t>{0, 1, 3, 4, 6}));
}

TEST(Unicode, InvalidStretchesAreReplacedAsTheStandardAdvises) {
  // The Unicode Standard 15.0, table 3-8 and its neighbours.
  EXPECT_EQ(replace_invalid_utf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"
            "A\uFFFD\uFFFD"
            "B");
  EXPECT_FALSE(is_valid_utf8("\xED\xA0\x80"));
  EXPECT_TRUE(is_valid_utf8("\xF4\x8F\xBF\xBF"));
}

}  // namespace
}  // namespace ranktune
