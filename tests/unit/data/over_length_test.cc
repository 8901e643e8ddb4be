#include "data/over_length.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/text_checks.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

/// SmolLM2's own tokenizer and template.
class OverLengthTest : public ::testing::Test {
 protected:
  OverLengthTest()
      : folder_("smollm2"),
        tokenizer_(Tokenizer::load(folder_.path())),
        template_(ChatTemplate::load(folder_.path())),
        end_(*tokenizer_->id_of(template_.end_of_turn())) {}

  FittedRow fit(const std::vector<Message>& messages, std::int64_t most, OverLength policy) const {
    return LengthPolicy(*tokenizer_, template_, most, policy).fit(messages);
  }
  std::size_t length(const std::vector<Message>& messages) const {
    return encode_example(*tokenizer_, template_, messages).ids.size();
  }
  std::string text(const EncodedExample& row) const { return tokenizer_->decode(row.ids); }

  /// What must hold of every row of every policy: its length, and its last target is the end token.
  void check(const FittedRow& fitted, std::int64_t most) const {
    for (const EncodedExample& row : fitted.rows) {
      EXPECT_LE(row.ids.size(), static_cast<std::size_t>(most));
      const auto last = std::find(row.loss_mask.rbegin(), row.loss_mask.rend(), 1);
      ASSERT_NE(last, row.loss_mask.rend());
      EXPECT_EQ(row.ids[static_cast<std::size_t>(row.loss_mask.rend() - last) - 1], end_);
    }
  }

  static std::vector<Message> conversation(int exchanges) {
    std::vector<Message> messages{{"system", "Be kind."}};
    for (int i = 0; i < exchanges; ++i) {
      messages.push_back({"user", "Question number " + std::to_string(i) + ": 今天的天气怎么样？"});
      messages.push_back({"assistant", "Answer number " + std::to_string(i) + ": 晴，有一点风，适合散步。"});
    }
    return messages;
  }

  ModelFolder folder_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  ChatTemplate template_;
  std::int32_t end_;
};

TEST_F(OverLengthTest, ARowThatFitsIsLeftAlone) {
  const auto messages = conversation(2);
  const auto size = static_cast<std::int64_t>(length(messages));
  for (const OverLength policy :
       {OverLength::kDrop, OverLength::kSplit, OverLength::kKeepEnd, OverLength::kTerminate}) {
    const FittedRow fitted = fit(messages, size, policy);
    ASSERT_EQ(fitted.rows.size(), 1u);
    EXPECT_FALSE(fitted.over_long);
    EXPECT_EQ(fitted.rows[0].ids, encode_example(*tokenizer_, template_, messages).ids);
  }
}

TEST_F(OverLengthTest, DropLeavesTheRowOut) {
  const auto messages = conversation(2);
  const FittedRow fitted = fit(messages, static_cast<std::int64_t>(length(messages)) - 1, OverLength::kDrop);
  EXPECT_TRUE(fitted.rows.empty());
  EXPECT_TRUE(fitted.over_long);
  EXPECT_NE(fitted.detail.find("max_length"), std::string::npos);
}

TEST_F(OverLengthTest, SplitKeepsEveryExchangeOnceWithTheSystemMessage) {
  const auto messages = conversation(9);
  const auto two = static_cast<std::int64_t>(length(conversation(2))) + 3;
  const FittedRow fitted = fit(messages, two, OverLength::kSplit);
  check(fitted, two);
  ASSERT_GE(fitted.rows.size(), 5u);
  std::string all;
  for (const EncodedExample& row : fitted.rows) {
    EXPECT_NE(text(row).find("Be kind."), std::string::npos);
    all += text(row);
  }
  for (const Message& message : messages) {
    if (message.role == "system") continue;
    const auto found = all.find(message.content);
    ASSERT_NE(found, std::string::npos) << message.content;
    EXPECT_EQ(all.find(message.content, found + 1), std::string::npos);
  }
}

TEST_F(OverLengthTest, SplitPutsAsManyExchangesIntoARowAsFit) {
  const int count = 23;
  const auto messages = conversation(count);
  const auto part = [&](int first, int last) {
    std::vector<Message> some{messages.front()};
    some.insert(some.end(), messages.begin() + 1 + 2 * first, messages.begin() + 1 + 2 * last);
    return some;
  };
  for (const int fitting : {1, 2, 3, 4, 5, 7, 8, 11, 22}) {
    const std::size_t most = length(conversation(fitting)) + 8;
    const FittedRow fitted = fit(messages, static_cast<std::int64_t>(most), OverLength::kSplit);
    std::size_t row = 0;
    for (int first = 0, last = 0; first < count; first = last, ++row) {
      while (last < count && length(part(first, last + 1)) <= most) ++last;
      ASSERT_LT(row, fitted.rows.size());
      EXPECT_EQ(fitted.rows[row].ids, encode_example(*tokenizer_, template_, part(first, last)).ids) << row;
    }
    EXPECT_EQ(row, fitted.rows.size());
  }
}

TEST_F(OverLengthTest, SplitLeavesOutOnlyTheExchangeThatIsTooLong) {
  auto messages = conversation(3);
  for (int i = 0; i < 200; ++i) messages[4].content += " and more";
  const std::int64_t most = 150;
  const FittedRow fitted = fit(messages, most, OverLength::kSplit);
  check(fitted, most);
  EXPECT_EQ(fitted.lost_exchanges, 1);
  ASSERT_EQ(fitted.rows.size(), 2u);
  EXPECT_NE(text(fitted.rows[0]).find("Answer number 0"), std::string::npos);
  EXPECT_NE(text(fitted.rows[1]).find("Answer number 2"), std::string::npos);
}

TEST_F(OverLengthTest, KeepEndDropsOldTurnsFirst) {
  const auto messages = conversation(6);
  const auto most = static_cast<std::int64_t>(length(conversation(3)));
  const FittedRow fitted = fit(messages, most, OverLength::kKeepEnd);
  check(fitted, most);
  ASSERT_EQ(fitted.rows.size(), 1u);
  EXPECT_EQ(fitted.lost_exchanges, 3);
  const std::string kept = text(fitted.rows[0]);
  EXPECT_NE(kept.find("Be kind."), std::string::npos);
  EXPECT_EQ(kept.find("number 2"), std::string::npos);
  for (const char* part :
       {"Question number 3", "Answer number 3", "Answer number 5: 晴，有一点风，适合散步。"}) {
    EXPECT_NE(kept.find(part), std::string::npos) << part;
  }
}

TEST_F(OverLengthTest, KeepEndCutsTheLastPromptFromTheLeft) {
  std::string prompt;
  for (int i = 0; i < 300; ++i) prompt += "第" + std::to_string(i) + "句。";
  const std::vector<Message> messages{{"user", prompt + "问题？"}, {"assistant", "完整的回答。"}};
  const std::int64_t most = 120;
  const FittedRow fitted = fit(messages, most, OverLength::kKeepEnd);
  check(fitted, most);
  ASSERT_EQ(fitted.rows.size(), 1u);
  const std::string kept = text(fitted.rows[0]);
  EXPECT_NE(kept.find("问题？<|im_end|>"), std::string::npos);
  EXPECT_NE(kept.find("完整的回答。<|im_end|>"), std::string::npos);
  EXPECT_EQ(kept.find("第0句"), std::string::npos);
  EXPECT_FALSE(has_control_characters(kept)) << "a character was cut in two";
  EXPECT_GE(fitted.rows[0].ids.size(), 110u) << "far more was cut than needed";
}

TEST_F(OverLengthTest, KeepEndNeverShortensTheLastAnswer) {
  std::vector<Message> messages{{"user", "Why?"}, {"assistant", ""}};
  for (int i = 0; i < 200; ++i) messages[1].content += "because ";
  const FittedRow fitted = fit(messages, 100, OverLength::kKeepEnd);
  EXPECT_TRUE(fitted.rows.empty());
  EXPECT_NE(fitted.detail.find("leaves no room"), std::string::npos);
}

TEST_F(OverLengthTest, TerminateCutsTheAnswerAndClosesIt) {
  std::string answer;
  for (int i = 0; i < 200; ++i) answer += "第" + std::to_string(i) + "段。";
  const std::vector<Message> messages{
      {"user", "讲一讲。"}, {"assistant", answer}, {"user", "后来？"}, {"assistant", "完。"}};
  const std::int64_t most = 130;
  const FittedRow fitted = fit(messages, most, OverLength::kTerminate);
  check(fitted, most);
  ASSERT_EQ(fitted.rows.size(), 1u);
  const std::string kept = text(fitted.rows[0]);
  EXPECT_NE(kept.find("第0段。第1段。"), std::string::npos);
  EXPECT_EQ(kept.find("后来"), std::string::npos);
  EXPECT_FALSE(has_control_characters(kept)) << "a character was cut in two";
  EXPECT_GE(fitted.rows[0].ids.size(), 120u) << "far more was cut than needed";
}

TEST_F(OverLengthTest, TerminateWithoutRoomForAnAnswer) {
  std::vector<Message> messages = conversation(1);
  messages.push_back({"user", ""});
  for (int i = 0; i < 200; ++i) messages.back().content += "long ";
  messages.push_back({"assistant", "Yes."});
  // The second prompt alone is too long: the first exchange stays, whole.
  const FittedRow fitted = fit(messages, 120, OverLength::kTerminate);
  check(fitted, 120);
  ASSERT_EQ(fitted.rows.size(), 1u);
  EXPECT_EQ(fitted.rows[0].ids, encode_example(*tokenizer_, template_, conversation(1)).ids);
  // A first prompt that is too long leaves nothing to learn.
  EXPECT_TRUE(fit({messages[3], messages[4]}, 120, OverLength::kTerminate).rows.empty());
}

TEST_F(OverLengthTest, EveryPolicyKeepsItsPromiseAtEveryLength) {
  const auto messages = conversation(4);
  for (std::int64_t most = 8; most < static_cast<std::int64_t>(length(messages)); most += 5) {
    for (const OverLength policy : {OverLength::kSplit, OverLength::kKeepEnd, OverLength::kTerminate}) {
      const FittedRow fitted = fit(messages, most, policy);
      check(fitted, most);
      EXPECT_TRUE(fitted.over_long);
      EXPECT_FALSE(fitted.detail.empty());
    }
  }
}

}  // namespace
}  // namespace ranktune
