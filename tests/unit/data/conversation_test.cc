#include "data/conversation.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace ranktune {
namespace {

std::string shown(const ParsedRow& row) {
  std::string text;
  for (const Message& message : row.messages) text += message.role + "=" + message.content + "|";
  return text;
}

ParsedRow parse(const std::string& record, DataFormat format = DataFormat::kAuto) {
  return ConversationParser(format).parse(record);
}

void expect_problem(const std::string& record, RowProblem problem, const std::string& part) {
  const ParsedRow row = parse(record);
  EXPECT_EQ(name_of(row.problem), name_of(problem)) << record;
  EXPECT_NE(row.detail.find(part), std::string::npos) << record << "\n" << row.detail;
}

TEST(Conversation, Alpaca) {
  EXPECT_EQ(shown(parse(R"({"instruction":"Do","input":"this","output":"Done"})")),
            "user=Do\nthis|assistant=Done|");
  EXPECT_EQ(shown(parse(R"({"instruction":"Do","input":"  ","output":"Done","id":3})")),
            "user=Do|assistant=Done|");
  EXPECT_EQ(shown(parse(R"({"instruction":"","input":"Only input","output":"Done"})")),
            "user=Only input|assistant=Done|");
  EXPECT_EQ(
      shown(parse(R"({"instruction":"c","output":"d","system":"s","history":[["a","b"]],"input":null})")),
      "system=s|user=a|assistant=b|user=c|assistant=d|");
  EXPECT_EQ(parse(R"({"instruction":"a","output":"b"})").format, DataFormat::kAlpaca);
}

TEST(Conversation, ShareGpt) {
  const ParsedRow row = parse(
      R"({"system":"s","conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"tools":""})");
  EXPECT_EQ(name_of(row.problem), "wrong_keys");  // tools that are no list
  EXPECT_EQ(shown(parse(R"({"conversations":[{"from":"system","value":"s"},{"from":"human","value":"a"},
                          {"from":"gpt","value":"b"},{"from":"user","value":"c"},{"from":"assistant","value":"d"}]})")),
            "system=s|user=a|assistant=b|user=c|assistant=d|");
  EXPECT_EQ(
      shown(parse(R"({"conversation":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})")),
      "user=a|assistant=b|");
}

TEST(Conversation, Messages) {
  const ParsedRow row = parse(R"({"messages":[{"role":"developer","content":"s"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":"\u4f60\ud83d\ude00","weight":1}]})");
  EXPECT_EQ(row.problem, RowProblem::kNone);
  EXPECT_EQ(row.format, DataFormat::kMessages);
  EXPECT_EQ(shown(row), "system=s|user=ab|assistant=你😀|");
}

TEST(Conversation, WrongKeysAreExplained) {
  expect_problem(R"({"prompt":"a","response":"b"})", RowProblem::kWrongKeys,
                 R"(the keys are "prompt", "response")");
  expect_problem(R"({"instrution":"a","output":"b"})", RowProblem::kWrongKeys, R"("instruction" is missing)");
  expect_problem(R"({"instruction":"a","inputs":"b","output":"c"})", RowProblem::kWrongKeys,
                 R"(did you mean "input")");
  expect_problem(R"({"instruction":"a","output":["b"]})", RowProblem::kWrongKeys,
                 "is a list instead of a string");
  expect_problem(R"(["a","b"])", RowProblem::kWrongKeys, "is a list instead of an object");
  expect_problem(R"({"messages":"a"})", RowProblem::kWrongKeys, "not a list of turns");
  expect_problem(R"({"messages":["a"]})", RowProblem::kWrongKeys, "a string instead of an object");
  expect_problem(R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})", RowProblem::kWrongKeys,
                 "not text");
  expect_problem(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0}]})",
      RowProblem::kWrongKeys, "weight");
  expect_problem(R"({"instruction":"a","output":"b","history":["c"]})", RowProblem::kWrongKeys, "history");
  expect_problem(R"({"conversations":[{"from":"human","value":"a"}],"tools":[{}]})", RowProblem::kWrongKeys,
                 "tools");
}

TEST(Conversation, RolesMustAlternateAndEndWithAnAnswer) {
  const auto messages = [](const std::string& roles) {
    std::string text;
    for (const char role : roles) {
      const std::string name = role == 'u'   ? "user"
                               : role == 'a' ? "assistant"
                               : role == 's' ? "system"
                                             : "wizard";
      text += fmt::format("{}{{\"role\":\"{}\",\"content\":\"x\"}}", text.empty() ? "" : ",", name);
    }
    return fmt::format("{{\"messages\":[{}]}}", text);
  };
  for (const char* sound : {"ua", "sua", "uaua", "suauaua"})
    EXPECT_EQ(parse(messages(sound)).problem, RowProblem::kNone);
  for (const char* bad : {"", "s", "u", "a", "au", "uua", "uaa", "uau", "usa", "ssua", "uaus", "wa", "uw"}) {
    EXPECT_EQ(name_of(parse(messages(bad)).problem), "role_order_error") << bad;
  }
}

TEST(Conversation, RolesOfNoKnownFormAreNotGuessed) {
  for (const char* role : {"bot", "model", "tool", "function_call", "observation", "User"}) {
    expect_problem(std::string(R"({"messages":[{"role":"user","content":"a"},{"role":")") + role +
                       R"(","content":"b"}]})",
                   RowProblem::kRoleOrder, role);
  }
}

TEST(Conversation, EmptyAnswersAndPrompts) {
  for (const char* blank : {R"("")", R"("  \n\t")", R"("\u3000\u3000")", R"("\u200b\ufeff")", "null"}) {
    expect_problem(std::string(R"({"instruction":"a","output":)") + blank + "}", RowProblem::kEmptyOutput,
                   "no text");
    expect_problem(std::string(R"({"instruction":)") + blank + R"(,"output":"b"})", RowProblem::kNoPrompt,
                   "no text");
  }
  // An empty answer in the middle teaches to say nothing, too.
  expect_problem(R"({"instruction":"a","output":"b","history":[["c",""]]})", RowProblem::kEmptyOutput,
                 "turn 2");
}

TEST(Conversation, BrokenJsonAndForeignBytes) {
  expect_problem(R"({"instruction":"a")", RowProblem::kBrokenJson, "not JSON");
  expect_problem("", RowProblem::kBrokenJson, "not JSON");
  expect_problem(R"({"instruction":"a","output":"b"} {})", RowProblem::kBrokenJson, "not JSON");
  expect_problem("{\"instruction\":\"a\",\"output\":\"b\xff\"}", RowProblem::kNonUtf8, "UTF-8");
  expect_problem(std::string(5000, '['), RowProblem::kBrokenJson, "not JSON");
}

TEST(Conversation, AGivenFormIsRequired) {
  EXPECT_EQ(parse(R"({"instruction":"a","output":"b"})", DataFormat::kMessages).problem,
            RowProblem::kWrongKeys);
  EXPECT_EQ(parse(R"({"instruction":"a","output":"b"})", DataFormat::kAlpaca).problem, RowProblem::kNone);
  expect_error([] { ConversationParser parser(DataFormat::kText); }, "no JSON rows");
}

}  // namespace
}  // namespace ranktune
