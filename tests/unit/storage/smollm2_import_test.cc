// SmolLM2-135M-Instruct from GGUF to a Hugging Face folder, held against what the packages gguf, numpy and
// tokenizers read out of the same file (tests/data/storage/make_smollm2.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "base/sha256.h"
#include "byte_files.h"
#include "storage/import_gguf.h"
#include "storage/weight_files.h"
#include "support/temp_dir.h"
#include "support/zst_file.h"

namespace ranktune {
namespace {

class SmolLm2Test : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    facts_ = new Json(Json::parse(read_zst(test_file("smollm2.json.zst"))));
    folder_ = new TempDir;
  }
  static void TearDownTestSuite() {
    delete folder_;
    delete facts_;
  }
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists(gguf_)) << gguf_ << " is absent; run: tools/get_smollm2 --gguf-only";
  }
  /// The folder with weights of that type; made once.
  Path imported(DType dtype) {
    const Path folder = *folder_ / std::string(dtype_name(dtype));
    if (!std::filesystem::exists(folder)) import_gguf({.gguf = gguf_, .folder = folder, .dtype = dtype});
    return folder;
  }
  const Path gguf_ = Path(RANKTUNE_MODELS) / "SmolLM2-135M-Instruct.Q4_1.gguf";
  static Json* facts_;
  static TempDir* folder_;
};
Json* SmolLm2Test::facts_ = nullptr;
TempDir* SmolLm2Test::folder_ = nullptr;

TEST_F(SmolLm2Test, IsTheFileThatTheFactsAreAbout) {
  EXPECT_EQ(sha256_hex(MappedFile(gguf_).text()), (*facts_)["file_sha256"].get<std::string>());
}

TEST_F(SmolLm2Test, EveryTensorHasTheReferencesBytes) {
  const WeightFiles weights = WeightFiles::open(imported(DType::kF32));
  const Json& wanted = (*facts_)["tensors"];
  EXPECT_EQ(weights.tensors().size(), wanted.size());
  for (const auto& [name, tensor] : wanted.items()) {
    const TensorInfo& found = weights.get(name);
    EXPECT_EQ(Json(found.shape), tensor["shape"]) << name;
    EXPECT_EQ(sha256_hex(found.data), tensor["sha256"].get<std::string>()) << name;
  }
}

TEST_F(SmolLm2Test, SmallerTypesAreTheSameValuesRoundedOnce) {
  const WeightFiles exact = WeightFiles::open(imported(DType::kF32)),
                    rounded = WeightFiles::open(imported(DType::kBF16));
  for (const TensorInfo* tensor : rounded.tensors()) {
    const auto values = values_of<float>(exact.get(tensor->name));
    std::vector<std::byte> bytes(tensor->data.size());
    round_from_f32(values, DType::kBF16, bytes);
    EXPECT_TRUE(std::ranges::equal(bytes, tensor->data)) << tensor->name;
  }
}

TEST_F(SmolLm2Test, TheTokenizerHasTheReferencesBytes) {
  EXPECT_EQ(sha256_hex(read_file(imported(DType::kBF16) / "tokenizer.json")),
            (*facts_)["tokenizer_sha256"].get<std::string>());
}

TEST_F(SmolLm2Test, ConfigHasTheReferencesValues) {
  const Json config = read_json_file(imported(DType::kBF16) / "config.json");
  for (const auto& [key, value] : (*facts_)["config"].items()) EXPECT_EQ(config[key], value) << key;
  EXPECT_EQ(config["eos_token_id"], 2);
  EXPECT_EQ(config["bos_token_id"], 1);
}

}  // namespace
}  // namespace ranktune
