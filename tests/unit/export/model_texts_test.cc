#include "export/model_texts.h"

#include <map>

#include "base/json.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "text/template_text.h"

namespace ranktune {
namespace {

constexpr int kEndOfText = 1, kStart = 2, kEnd = 3;

/// A base model's folder without weights.
class ModelTextsTest : public testing::Test {
 protected:
  ModelTextsTest() {
    Json tokenizer =
        Json::parse(R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
      "normalizer": null, "post_processor": null,
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
      "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
      "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
    for (const auto& [id, text] : {std::pair(kEndOfText, "<|endoftext|>"), std::pair(kStart, "<|im_start|>"),
                                   std::pair(kEnd, "<|im_end|>")})
      tokenizer["added_tokens"].push_back({{"id", id}, {"content", text}, {"special", true}});
    put("tokenizer.json", tokenizer.dump());
    put("config.json",
        R"({"model_type": "qwen2", "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 1})");
  }
  void put(const char* name, const std::string& text) const { write_file(dir_ / name, text); }
  /// The base's own template: ChatML with that default system text.
  void put_template(const std::string& system) const {
    put("tokenizer_config.json", Json{{"chat_template", chatml(system)}, {"eos_token", "<|im_end|>"}}.dump());
  }
  std::string chatml(const std::string& system) const {
    return template_jinja(ChatTemplate::load(dir_.path(), system.empty() ? "chatml" : system));
  }
  std::map<std::string, std::string> texts(const std::string& name, DType dtype = DType::kBF16) const {
    const auto trained = trained_template(
        dir_.path(), name, name.empty() ? "" : ChatTemplate::load(dir_.path(), name).fingerprint());
    std::map<std::string, std::string> result;
    for (const ModelText& text : model_texts({.base = dir_.path(), .dtype = dtype, .chat_template = trained}))
      result[text.name] = text.content;
    return result;
  }
  const TempDir dir_;
};

TEST_F(ModelTextsTest, TheTemplatesEndOfTurnIsAnEndToken) {
  put_template("");
  put("generation_config.json", R"({"eos_token_id": 1, "temperature": 0.7})");
  auto found = texts("");
  EXPECT_EQ(Json::parse(found["generation_config.json"]),
            Json::parse(R"({"eos_token_id": [3, 1], "temperature": 0.7})"));
  EXPECT_EQ(Json::parse(found["config.json"])["eos_token_id"], Json::array({kEnd, kEndOfText}));
  // What is right already stays as it is.
  put("generation_config.json", R"({"eos_token_id": [1, 3]})");
  put("config.json", R"({"eos_token_id": 3})");
  found = texts("");
  EXPECT_EQ(Json::parse(found["generation_config.json"])["eos_token_id"], Json::array({kEndOfText, kEnd}));
  EXPECT_EQ(Json::parse(found["config.json"])["eos_token_id"], kEnd);
}

TEST_F(ModelTextsTest, AMissingGenerationConfigIsMade) {
  put_template("");
  EXPECT_EQ(Json::parse(texts("")["generation_config.json"]),
            Json::parse(R"({"bos_token_id": 1, "eos_token_id": [3, 1]})"));
}

TEST_F(ModelTextsTest, TheBasesOwnTemplateStaysWhereItIs) {
  put_template("qwen2");
  put("special_tokens_map.json", "{}");
  put("modeling_qwen.py", "pass");
  put("LICENSE", "free");
  put("pytorch_model.bin", "weights");
  put("README.md", "about the base");
  auto found = texts("qwen2");
  EXPECT_EQ(Json::parse(found["tokenizer_config.json"])["chat_template"], chatml("qwen2"));
  EXPECT_EQ(found.count("chat_template.jinja"), 0u);
  std::string names;
  for (const auto& [name, text] : found) names += name + " ";
  EXPECT_EQ(names,
            "LICENSE config.json generation_config.json modeling_qwen.py special_tokens_map.json "
            "tokenizer.json tokenizer_config.json ");
}

TEST_F(ModelTextsTest, AnotherTemplateThatItWasTrainedWithTakesItsPlace) {
  put_template("qwen2");
  auto found = texts("chatml");
  EXPECT_EQ(found["chat_template.jinja"], chatml(""));
  EXPECT_FALSE(Json::parse(found["tokenizer_config.json"]).contains("chat_template"));
  EXPECT_EQ(Json::parse(found["tokenizer_config.json"])["eos_token"], "<|im_end|>");
  // Where there is no Jinja text of it, the base's stands, with a warning.
  testing::internal::CaptureStderr();
  found = texts("qwen3");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("\"qwen3\""));
  EXPECT_EQ(Json::parse(found["tokenizer_config.json"])["chat_template"], chatml("qwen2"));
}

TEST_F(ModelTextsTest, ProgramsThatOnlyWritePromptsGetTheFirstQwensAsChatMl) {
  put("qwen.tiktoken", "");
  const auto own = ChatTemplate::find_own(dir_.path());
  ASSERT_TRUE(own.has_value());
  EXPECT_EQ(template_text(dir_.path(), own), chatml("qwen2"));
  EXPECT_EQ(texts("qwen1").count("chat_template.jinja"), 0u);  // as published
  EXPECT_EQ(template_text(dir_.path(), ChatTemplate::load(dir_.path(), "chatml")), chatml(""));
}

TEST_F(ModelTextsTest, ABaseWithoutAKnownTemplateIsLeftAsItIs) {
  put("chat_template.jinja", "{{ unknown }}");
  put("generation_config.json", R"({"eos_token_id": 1})");
  auto found = texts("");
  EXPECT_EQ(found["chat_template.jinja"], "{{ unknown }}");
  EXPECT_EQ(Json::parse(found["generation_config.json"])["eos_token_id"], kEndOfText);
}

TEST_F(ModelTextsTest, ConfigNamesTheTypeByEveryKeyThatItHas) {
  const auto config = [&](DType dtype) { return Json::parse(texts("", dtype)["config.json"]); };
  EXPECT_EQ(config(DType::kF16)["torch_dtype"], "float16");
  put("config.json", R"({"dtype": "float32"})");
  EXPECT_EQ(config(DType::kBF16), Json::parse(R"({"dtype": "bfloat16"})"));
  put("config.json", R"({"bf16": false, "fp16": false, "fp32": true})");
  EXPECT_EQ(config(DType::kBF16),
            Json::parse(R"({"bf16": true, "fp16": false, "fp32": false, "torch_dtype": "bfloat16"})"));
  put("config.json", "[1]");
  expect_error([&] { config(DType::kBF16); }, "config.json", "not a JSON object");
}

}  // namespace
}  // namespace ranktune
