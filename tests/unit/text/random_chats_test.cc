// Random conversations against transformers' apply_chat_template (tests/data/chat/make_random.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <sstream>

#include "base/json.h"
#include "base/sha256.h"
#include "text/encode_example.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

std::string hash_of(const std::vector<std::int32_t>& ids) {
  return sha256_hex(std::as_bytes(std::span(ids))).substr(0, 8);
}

class RandomChats : public ::testing::TestWithParam<const char*> {};

TEST_P(RandomChats, TextAndIdsAreTransformers) {
  const std::string name = GetParam();
  const ModelFolder folder(name);
  const auto tokenizer = Tokenizer::load(folder.path());
  const ChatTemplate chat_template = ChatTemplate::load(folder.path());
  std::istringstream lines(read_zst(Path(RANKTUNE_TEST_DATA) / "chat" / "random.jsonl.zst"));
  int count = 0, plain = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json row = parse_json(line, "random.jsonl");
    std::vector<Message> messages;
    for (const Json& message : row["messages"]) messages.push_back({message["role"], message["content"]});
    const RenderOptions options{.add_generation_prompt = row["add_generation_prompt"],
                                .enable_thinking = row["enable_thinking"]};
    const std::string text = chat_template.render_text(messages, options);
    const auto expected = row[name].get<std::string>();
    EXPECT_EQ(sha256_hex(text).substr(0, 8) + "/" + hash_of(tokenizer->encode(text)), expected)
        << row["messages"] << "\n"
        << text;
    // What people write never becomes a special token here, so only texts without any are encoded alike.
    const auto is_special = [](const Message& message) {
      return message.content.find("<|") != std::string::npos;
    };
    if (std::any_of(messages.begin(), messages.end(), is_special)) continue;
    ++plain;
    const auto ids = options.add_generation_prompt
                         ? encode_prompt(*tokenizer, chat_template, messages, options)
                         : encode_example(*tokenizer, chat_template, messages).ids;
    EXPECT_EQ(hash_of(ids), expected.substr(9)) << row["messages"];
  }
  EXPECT_EQ(count, 300);
  EXPECT_GT(plain, 30);
}

INSTANTIATE_TEST_SUITE_P(All, RandomChats, ::testing::Values("qwen1.5", "qwen2.5", "qwen3", "smollm2"));

}  // namespace
}  // namespace ranktune
