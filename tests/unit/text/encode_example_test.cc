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

TEST_F(StopTokensTest, GoesOnAllTheSameWhenTold) {
  put("config.json", {{"eos_token_id", 0}});
  expect_error([&] { load(); }, "--allow-template-mismatch");
  ::testing::internal::CaptureStderr();
  const StopTokens stop =
      load_stop_tokens(model_.path(), *tokenizer_, chat("smollm2"), TemplateMismatch::kWarn);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              ::testing::AllOf(::testing::HasSubstr("config.json \"eos_token_id\": 0"),
                               ::testing::HasSubstr("Going on all the same")));
  EXPECT_EQ(stop.ids, (Ids{0, 2}));
  EXPECT_EQ(stop.end_of_turn, 2);
}

TEST_F(StopTokensTest, TheChosenTemplateWritesTurnsAsTheModelsOwn) {
  const auto with = [&](const char* chosen) {
    return load_stop_tokens(folder_->path(), *tokenizer_, chat(chosen)).end_of_turn;
  };
  EXPECT_EQ(with("auto"), 2);
  EXPECT_EQ(with("chatml"), 2);  // differs in the default system text alone
  // Both end turns with the token that all files name, and yet the model would be asked in another format.
  expect_error([&] { with("default"); }, "chat template \"default\": 2 (<|im_end|>)",
               "own chat template \"smollm2\": <|im_end|>   <- writes turns in another way",
               "Set the template to \"auto\"", "--allow-template-mismatch");
  expect_error([&] { with("qwen3"); }, "own chat template \"smollm2\"", "in another way");
}

TEST_F(StopTokensTest, ChatMlIsAWayOutOfAnUnknownTemplate) {
  put("tokenizer_config.json", {{"chat_template", "{{ messages }}"}, {"eos_token", "<|im_end|>"}});
  expect_error([&] { ChatTemplate::load(model_.path()); }, "template = \"chatml\"");
  EXPECT_EQ(load("chatml").end_of_turn, 2);
  const Json named = Json::array({{{"name", "tool_use"}, {"template", "{{ messages }}"}}});
  put("tokenizer_config.json", {{"chat_template", named}});
  expect_error([&] { ChatTemplate::load(model_.path()); }, "none named \"default\"");
  EXPECT_EQ(load("chatml").end_of_turn, 2);
}

// The end tokens of the published chat models' config.json and generation_config.json, beside their own
// tokenizers and tokenizer_config.json.
struct Published {
  const char *name, *tokenizer, *config, *generation;
  std::int32_t end_of_turn;
  Ids stop;
};

class PublishedModel : public ::testing::TestWithParam<Published> {};

TEST_P(PublishedModel, AgreesUntouched) {
  const Published& published = GetParam();
  const ModelFolder model(published.tokenizer);
  write_file(model.path() / "config.json", published.config);
  write_file(model.path() / "generation_config.json", published.generation);
  const auto tokenizer = Tokenizer::load(model.path());
  const StopTokens stop = load_stop_tokens(model.path(), *tokenizer, ChatTemplate::load(model.path()));
  EXPECT_EQ(stop.end_of_turn, published.end_of_turn);
  EXPECT_EQ(stop.ids, published.stop);
}

constexpr const char* kQwenConfig = R"({"bos_token_id": 151643, "eos_token_id": 151645})";
constexpr const char* kQwenGeneration = R"({"eos_token_id": [151645, 151643], "pad_token_id": 151643})";

INSTANTIATE_TEST_SUITE_P(
    Families, PublishedModel,
    ::testing::Values(
        Published{"Qwen7BChat",
                  "qwen1",
                  R"({"model_type": "qwen"})",
                  R"({"chat_format": "chatml", "eos_token_id": 151643})",
                  151645,
                  {151643, 151645}},
        Published{"Qwen15Chat", "qwen1.5", kQwenConfig, kQwenGeneration, 151645, {151643, 151645}},
        Published{"Qwen25Instruct", "qwen2.5", kQwenConfig, kQwenGeneration, 151645, {151643, 151645}},
        Published{"Qwen3", "qwen3", kQwenConfig, kQwenGeneration, 151645, {151643, 151645}},
        Published{"SmolLM2",
                  "smollm2",
                  R"({"bos_token_id": 1, "eos_token_id": 2})",
                  R"({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2})",
                  2,
                  {2}}),
    [](const auto& each) { return std::string(each.param.name); });

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
