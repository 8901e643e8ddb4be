#include "storage/import_gguf.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/json.h"
#include "byte_files.h"
#include "storage/gguf_model.h"
#include "storage/gguf_tokenizer.h"
#include "storage/weight_files.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

/// Random models in GGUF, and the same weights in Hugging Face's names and order.
class ImportTest : public testing::TestWithParam<std::string> {
 protected:
  Path gguf() const { return test_file("tiny_" + GetParam() + ".gguf"); }
  Json import_config(DType dtype = DType::kF32) {
    import_gguf({.gguf = gguf(), .folder = dir_ / "model", .dtype = dtype});
    return read_json_file(dir_ / "model" / "config.json");
  }
  const TempDir dir_;
};

TEST_P(ImportTest, WeightsHaveHuggingFacesNamesOrderAndValues) {
  import_config();
  const WeightFiles weights = WeightFiles::open(dir_ / "model");
  const SafetensorsFile wanted = SafetensorsFile::open(test_file("tiny_" + GetParam() + ".safetensors"));
  EXPECT_EQ(weights.tensors().size(), wanted.tensors().size());
  for (const TensorInfo& tensor : wanted.tensors()) {
    EXPECT_EQ(weights.get(tensor.name).shape, tensor.shape) << tensor.name;
    EXPECT_EQ(values_of<float>(weights.get(tensor.name)), values_of<float>(tensor)) << tensor.name;
  }
}

TEST_P(ImportTest, SmallerTypesAreRoundedOnce) {
  import_config(DType::kBF16);
  const WeightFiles weights = WeightFiles::open(dir_ / "model");
  const SafetensorsFile wanted = SafetensorsFile::open(test_file("tiny_" + GetParam() + ".safetensors"));
  for (const TensorInfo& tensor : wanted.tensors()) {
    const auto stored = values_of<std::uint16_t>(weights.get(tensor.name));
    const auto exact = values_of<float>(tensor);
    ASSERT_EQ(weights.get(tensor.name).dtype, DType::kBF16);
    for (std::size_t i = 0; i < exact.size(); ++i) ASSERT_EQ(stored[i], f32_to_bf16(exact[i])) << tensor.name;
  }
  EXPECT_EQ(read_json_file(dir_ / "model" / "config.json")["torch_dtype"], "bfloat16");
}

TEST_P(ImportTest, TheTokenizerIsWhole) {
  import_config();
  const Json tokenizer = read_json_file(dir_ / "model" / "tokenizer.json");
  const Json& model = tokenizer["model"];
  // 256 bytes and 4 merges; the added tokens of these families stand beside the vocabulary, the unused one
  // nowhere.
  EXPECT_EQ(model["vocab"].size(), 260u);
  EXPECT_EQ(model["vocab"]["hell"], 258);
  EXPECT_EQ(model["merges"], Json::parse(R"([["h","e"],["l","l"],["he","ll"],["Ġ","he"]])"));
  ASSERT_EQ(tokenizer["added_tokens"].size(), 3u);
  EXPECT_EQ(tokenizer["added_tokens"][0]["content"], "<|start|>");
  EXPECT_EQ(tokenizer["added_tokens"][0]["id"], 260);
  EXPECT_TRUE(tokenizer["added_tokens"][0]["special"].get<bool>());
  EXPECT_FALSE(tokenizer["added_tokens"][2]["special"].get<bool>());
  const Json config = read_json_file(dir_ / "model" / "tokenizer_config.json");
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_EQ(config["chat_template"], "{{ messages[0]['content'] }}<|end|>");
  EXPECT_EQ(config["model_max_length"], 4096);
}

TEST_P(ImportTest, PreTokenizerAndDecoderAreThePublishedOnes) {
  import_config();
  const Json tokenizer = read_json_file(dir_ / "model" / "tokenizer.json");
  const Json frame =
      read_json_file(test_file(GetParam() == "llama" ? "frame_llama-bpe.json" : "frame_qwen2.json"));
  for (const char* key : {"normalizer", "pre_tokenizer", "decoder"})
    EXPECT_EQ(tokenizer[key], frame[key]) << key;
  EXPECT_EQ(tokenizer["model"]["ignore_merges"], frame["ignore_merges"]);
}

TEST_P(ImportTest, AFolderThatIsThereIsNotTouched) {
  make_folders(dir_ / "model");
  write_file(dir_ / "model" / "precious.txt", "mine");
  expect_error([&] { import_config(); }, "not empty", "--overwrite");
  const auto overwrite = [&] { import_gguf({.gguf = gguf(), .folder = dir_ / "model", .overwrite = true}); };
  expect_error(overwrite, "not a model folder");
  EXPECT_EQ(read_file(dir_ / "model" / "precious.txt"), "mine");
  write_file(dir_ / "model" / "config.json", "{}");
  overwrite();
  EXPECT_FALSE(std::filesystem::exists(dir_ / "model" / "precious.txt"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 1);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_ / "model"), {}), 5);
}

TEST_P(ImportTest, TheSameInputGivesTheSameBytes) {
  for (const char* name : {"one", "two"}) import_gguf({.gguf = gguf(), .folder = dir_ / name});
  for (const auto& entry : std::filesystem::directory_iterator(dir_ / "one"))
    EXPECT_EQ(read_file(entry.path()), read_file(dir_ / "two" / entry.path().filename())) << entry.path();
}

TEST_P(ImportTest, ATruncatedFileLeavesNoFolder) {
  const std::string whole = read_file(gguf());
  for (std::size_t size = 0; size + 4096 < whole.size(); size += 997) {
    write_file(dir_ / "cut.gguf", whole.substr(0, size));
    expect_error([&] { import_gguf({.gguf = dir_ / "cut.gguf", .folder = dir_ / "model"}); }, "cut.gguf");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 1);
  }
}

INSTANTIATE_TEST_SUITE_P(, ImportTest, testing::Values("llama", "qwen", "qwen2", "qwen3"),
                         [](const auto& test) { return test.param; });

using ImportLlamaTest = ImportTest;
TEST_P(ImportLlamaTest, ConfigSaysWhatTheFileSays) {
  const Json config = import_config();
  EXPECT_EQ(config["architectures"], Json::array({"LlamaForCausalLM"}));
  EXPECT_EQ(config["hidden_size"], 32);
  EXPECT_EQ(config["intermediate_size"], 64);
  EXPECT_EQ(config["num_hidden_layers"], 2);
  EXPECT_EQ(config["num_attention_heads"], 4);
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_EQ(config["head_dim"], 8);
  EXPECT_EQ(config["rms_norm_eps"], 1e-6);
  EXPECT_EQ(config["rope_theta"], 500000.0);
  EXPECT_EQ(config["vocab_size"], 264);
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_EQ(config["attention_bias"], true);
  EXPECT_EQ(config["mlp_bias"], false);
  EXPECT_EQ(config["rope_scaling"],
            Json::parse(R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
      "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})"));
  const Json generation = read_json_file(dir_ / "model" / "generation_config.json");
  EXPECT_EQ(generation["eos_token_id"], Json::array({261, 262}));
  // Llama 3 texts begin with the first token.
  const Json processor = read_json_file(dir_ / "model" / "tokenizer.json")["post_processor"];
  EXPECT_EQ(processor["single"][0]["SpecialToken"]["id"], "<|start|>");
}
INSTANTIATE_TEST_SUITE_P(, ImportLlamaTest, testing::Values("llama"));

using ImportQwenTest = ImportTest;
TEST_P(ImportQwenTest, ConfigSaysWhatTheFamilyNeeds) {
  const Json config = import_config();
  const bool second = GetParam() == "qwen2";
  EXPECT_EQ(config["architectures"], Json::array({second ? "Qwen2ForCausalLM" : "Qwen3ForCausalLM"}));
  EXPECT_EQ(config["tie_word_embeddings"], second);
  EXPECT_EQ(config["head_dim"], second ? 8 : 16);
  EXPECT_EQ(config["rope_scaling"], nullptr);
  EXPECT_EQ(config["use_sliding_window"], false);
  EXPECT_EQ(config.value("attention_bias", second), second);
  EXPECT_EQ(read_json_file(dir_ / "model" / "tokenizer.json")["post_processor"], nullptr);
  EXPECT_EQ(read_json_file(dir_ / "model" / "tokenizer_config.json")["bos_token"], nullptr);
  EXPECT_EQ(read_json_file(dir_ / "model" / "generation_config.json")["eos_token_id"], 261);
}
INSTANTIATE_TEST_SUITE_P(, ImportQwenTest, testing::Values("qwen2", "qwen3"));

using ImportFirstQwenTest = ImportTest;
TEST_P(ImportFirstQwenTest, ConfigSaysItInItsOwnWords) {
  const Json config = import_config();
  EXPECT_EQ(config["architectures"], Json::array({"QWenLMHeadModel"}));
  EXPECT_EQ(config["model_type"], "qwen");
  EXPECT_EQ(config["intermediate_size"], 128);  // of both matrices, as in the file
  EXPECT_EQ(config["num_attention_heads"], 4);
  EXPECT_EQ(config["kv_channels"], 8);
  EXPECT_EQ(config["layer_norm_epsilon"], 1e-6);
  EXPECT_EQ(config["rotary_emb_base"], 500000.0);
  EXPECT_EQ(config["seq_length"], 4096);
  EXPECT_EQ(config["no_bias"], true);
  EXPECT_EQ(config["use_dynamic_ntk"], false);
  EXPECT_EQ(config["use_logn_attn"], false);
  EXPECT_EQ(config["tie_word_embeddings"], false);
}
INSTANTIATE_TEST_SUITE_P(, ImportFirstQwenTest, testing::Values("qwen"));

/// The settings of a first Qwen: heads of 8 in a width of 32.
GgufMetadata first_qwen(std::uint32_t mlp, std::uint32_t kv_heads) {
  GgufMetadata metadata;
  metadata.add_text("general.architecture", "qwen");
  for (const auto& [name, value] :
       std::map<std::string, std::uint32_t>{{"block_count", 1},
                                            {"context_length", 64},
                                            {"embedding_length", 32},
                                            {"feed_forward_length", mlp},
                                            {"attention.head_count", 4},
                                            {"attention.head_count_kv", kv_heads}})
    metadata.add_u32("qwen." + name, value);
  metadata.add_f32("qwen.attention.layer_norm_rms_epsilon", 1e-6f);
  return metadata;
}

TEST(ImportRefusalTest, WhatAFirstQwenCannotBeIsRefused) {
  const TempDir dir;
  const auto read = [&](const GgufMetadata& metadata) {
    GgufWriter writer(dir / "x.gguf", metadata, {{"token_embd.weight", GgmlType::kF32, {1, 1}}});
    writer.append("token_embd.weight", std::array<std::byte, 4>{});
    writer.commit();
    return read_gguf_model(GgufFile::open(dir / "x.gguf"));
  };
  EXPECT_EQ(read(first_qwen(10, 4)).intermediate_size, 5);
  expect_error([&] { read(first_qwen(11, 4)); }, "x.gguf", "qwen.feed_forward_length", "11");
  expect_error([&] { read(first_qwen(10, 2)); }, "x.gguf", "4 heads of size 8 with 2 key/value heads");
  GgufMetadata narrow = first_qwen(10, 4);
  narrow.add_u32("qwen.attention.key_length", 4);
  expect_error([&] { read(narrow); }, "x.gguf", "4 heads of size 4", "hidden size 32");
  GgufMetadata scaled = first_qwen(10, 4);
  scaled.add_text("qwen.rope.scaling.type", "linear");
  scaled.add_f32("qwen.rope.scaling.factor", 2);
  expect_error([&] { read(scaled); }, "x.gguf", "rope scaling of a qwen model");
}

/// A tiny model with one text in it replaced by another of the same length.
void expect_refused(const std::string& model, std::string_view from, std::string_view to,
                    const std::string& part) {
  ASSERT_EQ(from.size(), to.size());
  const TempDir dir;
  std::string text = read_file(test_file(model));
  const std::size_t at = text.find(from);
  ASSERT_NE(at, text.npos) << from;
  write_file(dir / "x.gguf", text.replace(at, from.size(), to));
  expect_error([&] { import_gguf({.gguf = dir / "x.gguf", .folder = dir / "model"}); }, "x.gguf", part);
  EXPECT_FALSE(std::filesystem::exists(dir / "model"));
}

TEST(ImportRefusalTest, WhatConfigCannotSayIsRefused) {
  expect_refused("tiny_qwen2.gguf", "qwen2", "qwen9",
                 "architecture \"qwen9\" is not supported; supported are llama");
  expect_refused("tiny_llama.gguf", "llama-bpe", "llama-xyz", "pre-tokenizer \"llama-xyz\"");
  expect_refused("tiny_llama.gguf", "gpt2", "rwkv", "tokenizer \"rwkv\"");
  expect_refused("tiny_llama.gguf", "llama.block_count", "llama.block_cousn", "llama.block_cousn");
  expect_refused("tiny_llama.gguf", "tokenizer.ggml.token_type", "tokenizer.ggml.token_tyqe", "token_type");
  expect_refused("tiny_qwen3.gguf", "blk.1.attn_q_norm", "blk.1.attn_x_norm",
                 "\"blk.1.attn_q_norm.weight\" is missing");
  expect_refused("tiny_llama.gguf", "rope_freqs.weight", "rope_waves.weight", "rope_waves.weight");
  expect_refused("tiny_qwen2.gguf", "he ll", "he xx", "merge \"he xx\"");
  expect_refused("tiny_qwen2.gguf", "hell", "h\xffll", "UTF-8");
  expect_refused("tiny_qwen2.gguf", "hell", "Ġhe", "has the text of another one");
}

TEST(ImportRefusalTest, InputsAreCheckedBeforeAnythingIsWritten) {
  const TempDir dir;
  const Path gguf = test_file("tiny_qwen2.gguf");
  expect_error([&] { import_gguf({.gguf = dir / "absent.gguf", .folder = dir / "model"}); }, "absent.gguf");
  expect_error([&] { import_gguf({.gguf = gguf, .folder = dir / "model", .dtype = DType::kI64}); }, "I64");
  write_file(dir / "file", "");
  expect_error([&] { import_gguf({.gguf = gguf, .folder = dir / "file"}); }, "not a folder");
  expect_error([&] { import_gguf({.gguf = gguf, .folder = dir / "file" / "model"}); }, "file");
  make_folders(dir / "model" / "inner");
  write_file(dir / "model" / "config.json", "{}");
  expect_error([&] { import_gguf({.gguf = gguf, .folder = dir / "model", .overwrite = true}); }, "inner");
}

TEST(Llama3ScalingTest, OtherFactorsAreNotTakenForIt) {
  EXPECT_EQ(llama3_scaling({}, 10000.0), std::nullopt);
  EXPECT_EQ(llama3_scaling({0, 0}, 10000.0), std::nullopt);
  EXPECT_EQ(llama3_scaling({1, 3, 2, 8}, 10000.0), std::nullopt);
  EXPECT_EQ(llama3_scaling({std::nanf(""), 8}, 10000.0), std::nullopt);
}

}  // namespace
}  // namespace ranktune
