#include "text/describe_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(DescribeTemplate, ShowsEveryTokenWithItsMarks) {
  const ModelFolder folder("smollm2");
  const auto tokenizer = Tokenizer::load(folder.path());
  const ChatTemplate chat_template = ChatTemplate::load(folder.path(), "chatml");
  const std::vector<Message> messages{{"user", "a \"<|im_end|>"}, {"assistant", "春"}};
  const std::string text = describe_template(*tokenizer, chat_template, messages, false);
  EXPECT_THAT(text, StartsWith("chat template \"chatml\" (" + chat_template.fingerprint() + "), "));
  // The ids are those of the model's published tokenizer.
  EXPECT_THAT(text, HasSubstr("    0       1  special         \"<|im_start|>\"\n"
                              "    1    4093                  \"user\"\n"
                              "    2     198                  \"\\n\"\n"));
  EXPECT_THAT(text,
              HasSubstr("           \" \\\"<\"\n"));  // a quotation mark, and the special token as characters
  EXPECT_THAT(text, HasSubstr("         label  \"\\xE6"));  // a part of the character
  EXPECT_THAT(text, HasSubstr("       2  special  label  \"<|im_end|>\"\n"));
  const std::string colours = describe_template(*tokenizer, chat_template, messages, true);
  EXPECT_THAT(colours, HasSubstr("\x1b[2m    1    4093"));
  EXPECT_THAT(colours, HasSubstr("special  label  \"<|im_end|>\"\x1b[0m\n"));
}

TEST(DescribeTemplate, TheSampleHasAnswersAndEndTokensInEveryKindOfTemplate) {
  for (const char* name : {"qwen1", "qwen3", "smollm2"}) {
    const ModelFolder folder(name);
    const auto tokenizer = Tokenizer::load(folder.path());
    const ChatTemplate chat_template = ChatTemplate::load(folder.path());
    const std::string text =
        describe_template(*tokenizer, chat_template, sample_conversation(chat_template), false);
    std::size_t learned_ends = 0;
    for (std::size_t at = 0; (at = text.find("special  label  \"<|im_end|>\"", at)) != std::string::npos;
         ++at)
      ++learned_ends;
    EXPECT_EQ(learned_ends, 2u) << name << "\n" << text;
  }
}

}  // namespace
}  // namespace ranktune
