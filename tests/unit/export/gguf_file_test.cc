#include "export/gguf_file.h"

#include <filesystem>

#include "base/json.h"
#include "model/adapter.h"
#include "model/hf_config.h"
#include "model/load_model.h"
#include "storage/gguf.h"
#include "storage/import_gguf.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "tensor/dtype.h"
#include "tensor/from_storage.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

/// Random models that the gguf package wrote, turned into Hugging Face folders and back.
class GgufFileTest : public testing::TestWithParam<std::string> {
 protected:
  Path original() const { return Path(RANKTUNE_TEST_DATA) / "storage" / ("tiny_" + GetParam() + ".gguf"); }
  Path import(const Path& gguf, const char* name) const {
    import_gguf({.gguf = gguf, .folder = dir_ / name, .dtype = DType::kF32});
    return dir_ / name;
  }
  Path write(const Path& folder, GgmlType type, const char* name = "out.gguf") const {
    const ModelFiles files = open_model_files(folder);
    const auto decoder =
        load_model({.folder = folder, .dtype = scalar_type_of(common_dtype(*files.weights)), .files = files});
    write_gguf_file({.file = dir_ / name, .base = folder, .type = type}, decoder->architecture(),
                    merged_weights(*decoder, *files.weights));
    return dir_ / name;
  }
  const TempDir dir_;
};

std::vector<float> values_of(const GgufTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.rows() * tensor.row_elements()));
  dequantize(tensor.type, tensor.data, values);
  return values;
}

std::string shown(const GgufFile& file, const std::string& key) {
  const GgufValue& value = *file.find(key);
  if (std::holds_alternative<std::string_view>(value.value)) return std::string(file.get_string(key));
  if (std::holds_alternative<bool>(value.value)) return file.get_bool(key) ? "true" : "false";
  const auto* list = std::get_if<GgufValue::Array>(&value.value);
  if (list == nullptr) return fmt::format("{}", file.get_number(key));
  std::string text;
  if (std::holds_alternative<std::string_view>(list->front().value))
    for (const std::string_view item : file.get_strings(key)) text += std::string(item) + "\n";
  else
    for (const std::int64_t item : file.get_ints(key)) text += std::to_string(item) + " ";
  return text;
}

TEST_P(GgufFileTest, SaysWhatTheOriginalSays) {
  const GgufFile wanted = GgufFile::open(original());
  const GgufFile found = GgufFile::open(write(import(original(), "model"), GgmlType::kF32));
  EXPECT_EQ(found.tensors().size(), wanted.tensors().size());
  for (const GgufTensor& tensor : wanted.tensors()) {
    const GgufTensor* ours = found.find_tensor(tensor.name);
    ASSERT_NE(ours, nullptr) << tensor.name;
    EXPECT_EQ(ours->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(values_of(*ours), values_of(tensor)) << tensor.name;
  }
  for (const auto& [key, value] : wanted.values()) {
    // Hugging Face's folder says that it ends a turn, but the template, which is unknown here, does not.
    if (key == "tokenizer.ggml.eot_token_id") continue;
    ASSERT_TRUE(found.has(key)) << key;
    EXPECT_EQ(shown(found, key), shown(wanted, key)) << key;
  }
  EXPECT_EQ(found.get_int("general.file_type"), 0);
  EXPECT_EQ(found.get_bool("tokenizer.ggml.add_bos_token"), GetParam() == "llama");
}

TEST_P(GgufFileTest, EachTypeIsRoundedOnceAndReadBack) {
  const Path model = import(original(), "model");
  const GgufFile exact = GgufFile::open(write(model, GgmlType::kF32, "f32.gguf"));
  for (const GgmlType type : {GgmlType::kF16, GgmlType::kBF16, GgmlType::kQ8_0}) {
    const std::string name(ggml_type_name(type));
    const GgufFile file = GgufFile::open(write(model, type, (name + ".gguf").c_str()));
    for (const GgufTensor& tensor : file.tensors()) {
      EXPECT_EQ(tensor.type, tensor.shape.size() == 2 ? type : GgmlType::kF32) << tensor.name;
      const auto found = values_of(tensor), wanted = values_of(*exact.find_tensor(tensor.name));
      const auto row = static_cast<std::size_t>(tensor.row_elements());
      for (std::size_t i = 0; i < found.size(); ++i) {
        float largest = 0;  // of the element's block of 32
        for (std::size_t j = i / 32 * 32; j < std::min(i / 32 * 32 + 32, found.size()); ++j)
          largest = std::max(largest, std::fabs(wanted[j]));
        // Q8_0: half a step, and what rounding the step to fp16 moves 127 of them.
        const float step = tensor.type == GgmlType::kF32 ? 0.0f
                           : type == GgmlType::kF16      ? std::fabs(wanted[i]) * 0x1p-11f + 0x1p-25f
                           : type == GgmlType::kBF16     ? std::fabs(wanted[i]) * 0x1p-8f
                                                         : largest / 127 * (0.5f + 127 * 0x1p-11f);
        ASSERT_LE(std::fabs(found[i] - wanted[i]), step)
            << tensor.name << " " << name << " row " << i / row << " column " << i % row;
      }
    }
    // Read and written again it is the same file.
    const Path again = write(import(dir_ / (name + ".gguf"), name.c_str()), type, "again.gguf");
    const GgufFile second = GgufFile::open(again);
    for (const GgufTensor& tensor : file.tensors())
      EXPECT_EQ(values_of(*second.find_tensor(tensor.name)), values_of(tensor)) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(, GgufFileTest, testing::Values("llama", "qwen", "qwen2", "qwen3"),
                         [](const auto& test) { return test.param; });

using GgufFileRefusalTest = GgufFileTest;

TEST_P(GgufFileRefusalTest, WhatGgufCannotSayIsRefused) {
  const Path model = import(original(), "model");
  const Json config = read_json_file(model / "config.json"),
             tokenizer = read_json_file(model / "tokenizer.json");
  const auto refused = [&](const char* file, Json changed, const std::string& part) {
    const std::string before = read_file(model / file);
    write_file(model / file, changed.dump());
    expect_error([&] { write(model, GgmlType::kF16); }, part);
    write_file(model / file, before);
    EXPECT_FALSE(fs::exists(dir_ / "out.gguf"));
  };
  const auto with = [](Json json, const char* key, const Json& value) {
    json[Json::json_pointer(key)] = value;
    return json;
  };
  refused("config.json",
          with(config, "/rope_scaling",
               {{"rope_type", "llama3"},
                {"factor", 8.0},
                {"low_freq_factor", 1.0},
                {"high_freq_factor", 4.0},
                {"original_max_position_embeddings", 64}}),
          "llama3 rope scaling of llama models only");
  refused("tokenizer.json",
          with(tokenizer, "/pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", true}}),
          "add_prefix_space");
  refused("tokenizer.json",
          with(tokenizer, "/pre_tokenizer", {{"type", "Digits"}, {"individual_digits", false}}), "");
  refused("tokenizer.json",
          with(tokenizer, "/post_processor", Json::parse(R"({"type": "TemplateProcessing", "single": [
            {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<|end|>", "type_id": 0}}]})")),
          "post_processor");
  fs::remove(model / "tokenizer_config.json");
  Json endless = config;
  endless.erase("eos_token_id");
  refused("config.json", endless, "which token ends a text");
  fs::remove(model / "tokenizer.json");
  expect_error([&] { write(model, GgmlType::kF16); }, "neither tokenizer.json nor qwen.tiktoken");
  EXPECT_FALSE(fs::exists(dir_ / "out.gguf"));
}
INSTANTIATE_TEST_SUITE_P(, GgufFileRefusalTest, testing::Values("qwen2"));

using GgufFirstQwenTest = GgufFileTest;

TEST_P(GgufFirstQwenTest, TheLogSaysWhatIsLeftOut) {
  const Path model = import(original(), "model");
  testing::internal::CaptureStderr();
  write(model, GgmlType::kF16);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(testing::HasSubstr("dynamic NTK"), testing::HasSubstr("4096 tokens")));
}

TEST_P(GgufFirstQwenTest, WhatOtherProgramsDoNotComputeIsRefused) {
  const Path model = import(original(), "model");
  const auto refused = [&](auto change, const std::string& part) {
    Architecture arch = read_architecture(model);
    change(arch);
    expect_error([&] { write_gguf_file({.file = dir_ / "out.gguf", .base = model}, arch, {}); }, part);
    EXPECT_FALSE(fs::exists(dir_ / "out.gguf"));
  };
  refused([](Architecture& arch) { arch.head_dim = 16; }, "4 heads of 16 are not 32");
  refused([](Architecture& arch) { arch.tied_head = true; }, "head is the embedding");
}
INSTANTIATE_TEST_SUITE_P(, GgufFirstQwenTest, testing::Values("qwen"));

/// An adapter of PEFT's that trains tokens or modules beside LoRA, and what it does to the token matrices.
struct TrainedBeside {
  std::string model, adapter;
  bool tied;                                  ///< the head still is the embedding
  std::vector<std::int64_t> embedding, head;  ///< the rows that it changes; kAll: every one
};
const std::vector<std::int64_t> kAll{-1};

class GgufOfTrainedTokensTest : public testing::TestWithParam<TrainedBeside> {
 protected:
  /// The base model, with a tokenizer of fewer tokens than its embedding has rows.
  Path base() const {
    const Path from = Path(RANKTUNE_TEST_DATA), model = dir_ / "base";
    fs::copy(
        from / "golden" / (GetParam().model == "modules_tied" ? "qwen2_gqa_tied" : "qwen2_mha") / "model",
        model);
    import_gguf({.gguf = from / "storage/tiny_qwen2.gguf", .folder = dir_ / "tokenizer"});
    for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
      fs::copy(dir_ / "tokenizer" / name, model / name);
    return model;
  }
  static std::vector<std::int64_t> changed_rows(const torch::Tensor& a, const torch::Tensor& b) {
    const torch::Tensor rows = a.ne(b).any(1).nonzero().squeeze(1);
    const std::vector<std::int64_t> ids(rows.data_ptr<std::int64_t>(),
                                        rows.data_ptr<std::int64_t>() + rows.numel());
    return rows.numel() == a.size(0) ? kAll : ids;
  }
  const TempDir dir_;
};

TEST_P(GgufOfTrainedTokensTest, IsReadBackWithTheTrainedRows) {
  const auto& [model, adapter, tied, embedding_rows, head_rows] = GetParam();
  const Path folder = base();
  const ModelFiles files = open_model_files(folder);
  const auto decoder = load_model({.folder = folder, .dtype = torch::kFloat32, .files = files});
  load_adapter(*decoder, Path(RANKTUNE_TEST_DATA) / "golden" / model / "adapters" / adapter);
  const std::vector<FinalWeight> weights = merged_weights(*decoder, *files.weights);
  write_gguf_file({.file = dir_ / "out.gguf", .base = folder, .type = GgmlType::kF32},
                  decoder->architecture(), weights);
  EXPECT_EQ(GgufFile::open(dir_ / "out.gguf").find_tensor("output.weight") == nullptr, tied);

  import_gguf({.gguf = dir_ / "out.gguf", .folder = dir_ / "again", .dtype = DType::kF32});
  const WeightFiles again = WeightFiles::open(dir_ / "again");
  EXPECT_EQ(read_json_file(dir_ / "again/config.json")["tie_word_embeddings"], tied);
  EXPECT_EQ(again.tensors().size(), weights.size());
  const auto found = [&](const std::string& name) { return tensor_over(again.get(name), nullptr); };
  for (const FinalWeight& weight : weights)
    EXPECT_TRUE(torch::equal(found(weight.name), weight.rows(0, weight.row_count()))) << weight.name;
  const auto own = [&](const std::string& name) { return tensor_over(files.weights->get(name), nullptr); };
  const torch::Tensor embedding = own("model.embed_tokens.weight");
  const bool was_tied = files.weights->find("lm_head.weight") == nullptr;
  EXPECT_EQ(changed_rows(found("model.embed_tokens.weight"), embedding), embedding_rows);
  if (!tied) {
    EXPECT_EQ(changed_rows(found("lm_head.weight"), was_tied ? embedding : own("lm_head.weight")), head_rows);
  }
}

INSTANTIATE_TEST_SUITE_P(
    , GgufOfTrainedTokensTest,
    testing::Values(TrainedBeside{"modules_tied", "tokens_trained", true, {2, 7, 300}, {2, 7, 300}},
                    TrainedBeside{"modules_tied", "tokens_apart_trained", false, {2, 5}, {2, 9, 301}},
                    TrainedBeside{"modules_tied", "parted_trained", false, kAll, {}},
                    TrainedBeside{"modules_tied", "tied_trained", true, kAll, kAll},
                    TrainedBeside{"modules_untied", "tokens_trained", false, {2, 11}, {2, 11}},
                    TrainedBeside{"modules_untied", "dora_trained", false, {3, 11}, {}},
                    TrainedBeside{"modules_untied", "all_trained", false, kAll, kAll}),
    [](const auto& test) { return test.param.model + "_" + test.param.adapter; });

}  // namespace
}  // namespace ranktune
