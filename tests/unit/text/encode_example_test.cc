#include "text/encode_example.h"

#include "base/json.h"
#include "support/expect_error.h"
#include "text/stop_tokens.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

// The text of the labels alone.
std::string labelled(const Tokenizer& tokenizer, const EncodedExample& example) {
  Ids labels;
  for (std::size_t i = 0; i < example.ids.size(); ++i)
    if (example.loss_mask[i] != 0) labels.push_back(example.ids[i]);
  return tokenizer.decode(labels);
}

class EncodeExample : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new ModelFolder("smollm2");
    tokenizer_ = Tokenizer::load(folder_->path()).release();
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    delete folder_;
  }
  static ChatTemplate chat(const std::string& name) { return ChatTemplate::load(folder_->path(), name); }

  static inline ModelFolder* folder_ = nullptr;
  static inline const Tokenizer* tokenizer_ = nullptr;
};

TEST_F(EncodeExample, ThePromptIsThePrefixOfTheExample) {
  const std::vector<Message> messages{{"system", "s"}, {"user", "one 1"}, {"assistant", "答 A."}};
  for (const char* name : {"smollm2", "chatml", "qwen1", "qwen3-instruct", "default"}) {
    const ChatTemplate chat_template = chat(name);
    const EncodedExample example = encode_example(*tokenizer_, chat_template, messages);
    const Ids prompt = encode_prompt(*tokenizer_, chat_template, std::span(messages).first(2));
    ASSERT_LT(prompt.size(), example.ids.size());
    EXPECT_EQ(Ids(example.ids.begin(), example.ids.begin() + static_cast<std::ptrdiff_t>(prompt.size())),
              prompt);
    EXPECT_EQ(example.ids.size(), example.loss_mask.size());
    for (std::size_t i = 0; i < prompt.size(); ++i) EXPECT_EQ(example.loss_mask[i], 0);
    EXPECT_EQ(labelled(*tokenizer_, example), "答 A." + chat_template.end_of_turn()) << name;
  }
}

TEST_F(EncodeExample, SpecialTokensInContentAreOrdinaryCharacters) {
  const std::vector<Message> messages{{"user", "say <|im_end|>"}, {"assistant", "<|im_end|><|im_start|>"}};
  const EncodedExample example = encode_example(*tokenizer_, chat("chatml"), messages);
  EXPECT_EQ(std::count(example.ids.begin(), example.ids.end(), 2), 2);  // the two that end the turns
  EXPECT_EQ(std::count(example.ids.begin(), example.ids.end(), 1), 2);
  EXPECT_EQ(labelled(*tokenizer_, example), "<|im_end|><|im_start|><|im_end|>");
  EXPECT_EQ(tokenizer_->decode(example.ids), chat("chatml").render_text(messages, false));
}

TEST_F(EncodeExample, ATokenAcrossTheBorderOfTheAnswerIsNoLabel) {
  // GPT-2's pattern joins the header's line break and the answer's first spaces.
  const std::vector<Message> messages{{"user", "q"}, {"assistant", "   a"}};
  const EncodedExample example = encode_example(*tokenizer_, chat("chatml"), messages);
  EXPECT_EQ(example.ids, tokenizer_->encode(chat("chatml").render_text(messages, false)));
  EXPECT_EQ(labelled(*tokenizer_, example), " a<|im_end|>");
}

TEST_F(EncodeExample, AnEmptyAnswerIsItsEndOfTurn) {
  const std::vector<Message> messages{{"user", "q"}, {"assistant", ""}};
  for (const char* name : {"chatml", "default"}) {
    const ChatTemplate chat_template = chat(name);
    EXPECT_EQ(labelled(*tokenizer_, encode_example(*tokenizer_, chat_template, messages)),
              chat_template.end_of_turn());
  }
}

TEST_F(EncodeExample, RefusesATemplateTheModelCannotEnd) {
  const ModelFolder qwen("smollm2");
  write_file(qwen.path() / "tokenizer_config.json", R"({"eos_token": "stop"})");
  const ChatTemplate plain = ChatTemplate::load(qwen.path(), "default");
  const std::vector<Message> messages{{"user", "q"}};
  expect_error([&] { encode_prompt(*tokenizer_, plain, messages); }, "stop", "not a special token");
}

class StopTokensTest : public EncodeExample {
 protected:
  StopTokens load(const std::string& name = "smollm2") const {
    return load_stop_tokens(model_.path(), *tokenizer_, chat(name));
  }
  void put(const char* file, const Json& json) const { write_file(model_ / file, json.dump()); }
  TempDir model_;
};

TEST_F(StopTokensTest, GathersWhatAgrees) {
  EXPECT_EQ(load().ids, Ids{2});
  put("config.json", {{"eos_token_id", 2}});
  put("generation_config.json", {{"eos_token_id", {2, 0}}});
  put("tokenizer_config.json", {{"eos_token", "<|im_end|>"}});
  EXPECT_EQ(load().ids, (Ids{0, 2}));
  EXPECT_EQ(load().end_of_turn, 2);
}

TEST_F(StopTokensTest, TakesFirstGenerationQwensChatFormat) {
  put("generation_config.json", {{"eos_token_id", 0}, {"chat_format", "chatml"}});
  EXPECT_EQ(load().ids, (Ids{0, 2}));
}

TEST_F(StopTokensTest, NamesEverySourceWhereTheyDisagree) {
  put("config.json", {{"eos_token_id", 2}});
  put("generation_config.json", {{"eos_token_id", 0}});
  put("tokenizer_config.json", {{"eos_token", {{"content", "<|im_start|>"}}}});
  expect_error(
      [&] { load(); }, "chat template \"smollm2\": 2 (<|im_end|>)", "config.json \"eos_token_id\": 2",
      "generation_config.json \"eos_token_id\": 0 (<|endoftext|>)   <- not among them",
      "tokenizer_config.json \"eos_token\": 1 (<|im_start|>)   <- not among them", "Put 2 (<|im_end|>) into");
}

TEST_F(StopTokensTest, RefusesIdsTheTokenizerHasNot) {
  for (const Json& bad : {Json(49152), Json(-1), Json("2"), Json({2, 2.5})}) {
    put("config.json", {{"eos_token_id", bad}});
    expect_error([&] { load(); }, "config.json \"eos_token_id\"", "49151");
  }
  put("config.json", Json::object());
  put("tokenizer_config.json", {{"eos_token", "</s>"}});
  expect_error([&] { load(); }, "</s>", "tokenizer_config.json");
}

}  // namespace
}  // namespace ranktune
