// Rendered conversations, their ids and the answers' spans of five models against transformers (qwen1: the
// model's own way of encoding piece by piece).
#include <gtest/gtest.h>

#include <sstream>

#include "base/json.h"
#include "text/encode_example.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;
using Spans = std::vector<std::array<std::size_t, 2>>;

Spans spans_of(const std::vector<std::uint8_t>& mask) {
  Spans spans;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) continue;
    if (i == 0 || mask[i - 1] == 0) spans.push_back({i, i});
    spans.back()[1] = i + 1;
  }
  return spans;
}

class ChatGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(ChatGolden, TextIdsAndSpansAreTheReferences) {
  const std::string name = GetParam();
  const ModelFolder folder(name);
  const auto tokenizer = Tokenizer::load(folder.path());
  const ChatTemplate chat_template = ChatTemplate::load(folder.path());
  EXPECT_EQ(chat_template.name(), name);
  EXPECT_EQ(chat_template.end_of_turn(), "<|im_end|>");
  std::istringstream lines(read_zst(Path(RANKTUNE_TEST_DATA) / "chat" / (name + ".jsonl.zst")));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json row = parse_json(line, name);
    std::vector<Message> messages;
    for (const Json& message : row["messages"]) messages.push_back({message["role"], message["content"]});
    RenderOptions options{.add_generation_prompt = row["add_generation_prompt"]};
    if (row.contains("template_args")) options.enable_thinking = row["template_args"]["enable_thinking"];
    EXPECT_EQ(chat_template.render_text(messages, options), row["text"].get<std::string>());
    const auto ids = row["ids"].get<Ids>();
    if (options.add_generation_prompt) {
      EXPECT_EQ(encode_prompt(*tokenizer, chat_template, messages, options), ids);
      continue;
    }
    const EncodedExample example = encode_example(*tokenizer, chat_template, messages);
    EXPECT_EQ(example.ids, ids);
    EXPECT_EQ(spans_of(example.loss_mask), row["assistant_spans"].get<Spans>()) << row["text"];
  }
  EXPECT_EQ(count, name == "qwen3" ? 12 : 10);
}

INSTANTIATE_TEST_SUITE_P(All, ChatGolden,
                         ::testing::Values("qwen1", "qwen1.5", "qwen2.5", "qwen3", "smollm2"));

}  // namespace
}  // namespace ranktune
