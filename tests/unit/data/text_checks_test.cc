#include "data/text_checks.h"

#include <gtest/gtest.h>

namespace ranktune {
namespace {

TEST(TextChecks, CodePoints) {
  const std::string_view text = "aé中😀";
  EXPECT_EQ(count_code_points(text), 4);
  std::size_t at = 0;
  EXPECT_EQ(next_code_point(text, at), 0x61u);
  EXPECT_EQ(next_code_point(text, at), 0xE9u);
  EXPECT_EQ(next_code_point(text, at), 0x4E2Du);
  EXPECT_EQ(next_code_point(text, at), 0x1F600u);
  EXPECT_EQ(at, text.size());
  EXPECT_EQ(code_point_offset(text, 2), 3u);
  EXPECT_EQ(code_point_offset(text, 9), text.size());
  for (const std::string_view cut : {"\xe4", "\xe4\xb8", "\xf0\x9f\x98", "\xff"}) {
    std::size_t end = 0;
    while (end < cut.size()) next_code_point(cut, end);
    EXPECT_EQ(end, cut.size());
  }
}

TEST(TextChecks, Blank) {
  EXPECT_TRUE(is_blank_text(""));
  EXPECT_TRUE(is_blank_text(" \t\n\u3000\u00a0\u200b\ufeff"));
  EXPECT_FALSE(is_blank_text(" . "));
}

TEST(TextChecks, ControlCharacters) {
  for (const char* text : {"a\u0007", "a\u200bb", "\ufeffa", "a\u202eb", "a\x7f", "a\ufffd"}) {
    EXPECT_TRUE(has_control_characters(text)) << text;
  }
  // Joiners belong to emoji and to Persian and Indian scripts.
  for (const char* text : {"a\tb\r\n", "👨‍👩‍👧", "می\u200cخواهم", "“中文”——，。"}) {
    EXPECT_FALSE(has_control_characters(text)) << text;
  }
}

TEST(TextChecks, HtmlRemains) {
  for (const char* text : {"a<br>b", "a<br/>b", "a<br />", "<p>x</p>", "x</div>", "<a href=\"u\">",
                           "a&nbsp;b", "&#8212;", "&copy;"}) {
    EXPECT_TRUE(has_html_remains(text)) << text;
  }
  for (const char* text : {"a < b and b > c", "if (a<b) {}", "vector<int>", "R&D; more", "fish & chips; peas",
                           "<|im_end|>", "&;", "<"}) {
    EXPECT_FALSE(has_html_remains(text)) << text;
  }
}

TEST(TextChecks, UnfinishedAnswers) {
  EXPECT_TRUE(
      looks_unfinished("There was a house by the sea. Nobody had lived there for years, and the wind"));
  EXPECT_TRUE(
      looks_unfinished("他在门口站了一会儿。天已经黑下来了，街上没有什么人，只有对面的铺子还亮着灯，他于是慢"
                       "慢地走过去，看见那里的"));
  EXPECT_FALSE(
      looks_unfinished("There was a house by the sea. Nobody had lived there for years, it is said.\n"));
  EXPECT_FALSE(looks_unfinished("A short title"));
  EXPECT_FALSE(looks_unfinished("one two three four five six seven eight nine ten eleven twelve"));
}

}  // namespace
}  // namespace ranktune
