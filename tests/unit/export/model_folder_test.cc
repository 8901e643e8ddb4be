#include "export/model_folder.h"

#include <filesystem>

#include "base/json.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "tensor/dtype.h"
#include "tensor/from_storage.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

/// A golden model with one of its adapters on it, as PEFT and transformers wrote them.
class Merged {
 public:
  Merged(const std::string& model, const std::string& adapter)
      : folder_(Path(RANKTUNE_TEST_DATA) / "golden" / model), files_(open_model_files(folder_ / "model")) {
    decoder_ = load_model({.folder = folder_ / "model",
                           .dtype = scalar_type_of(common_dtype(*files_.weights)),
                           .files = files_});
    load_adapter(*decoder_, folder_ / "adapters" / adapter);
  }
  std::vector<FinalWeight> weights() { return merged_weights(*decoder_, *files_.weights); }
  Path base() const { return folder_ / "model"; }
  Decoder& decoder() { return *decoder_; }
  torch::Tensor stored(const std::string& name) const {
    return tensor_over(files_.weights->get(name), files_.weights);
  }

 private:
  Path folder_;
  ModelFiles files_;
  std::unique_ptr<Decoder> decoder_;
};

torch::Tensor tensor_of(const WeightFiles& files, const std::string& name) {
  return tensor_over(files.get(name), nullptr).clone();
}

TEST(ModelFolder, HoldsPeftsMergedWeightsInShards) {
  const TempDir dir;
  Merged merged("qwen2_mha", "lora_trained");
  write_model_folder({.folder = {.path = dir / "out"}, .base = merged.base(), .max_shard_bytes = 100'000},
                     merged.weights());
  const WeightFiles found = WeightFiles::open(dir / "out");
  EXPECT_GT(found.list().files.size(), 4u);
  for (const std::string& file : found.list().files) EXPECT_LT(fs::file_size(dir / "out" / file), 110'000u);
  EXPECT_EQ(read_json_file(dir / "out/model.safetensors.index.json")["metadata"]["total_size"],
            found.total_bytes());
  EXPECT_FALSE(fs::exists(dir / "out/model.safetensors"));
  const Json config = read_json_file(dir / "out/config.json");
  Json wanted = read_json_file(merged.base() / "config.json");
  EXPECT_EQ(config, wanted);

  // PEFT's merge of the adapter that stands beside it.
  Merged first("qwen2_mha", "lora");
  write_model_folder({.folder = {.path = dir / "first"}, .base = first.base()}, first.weights());
  const WeightFiles ours = WeightFiles::open(dir / "first");
  const WeightFiles peft = WeightFiles::open(first.base().parent_path() / "merged/lora");
  EXPECT_EQ(ours.tensors().size(), peft.tensors().size());
  double change = 0;
  for (const TensorInfo* tensor : peft.tensors()) {
    const torch::Tensor theirs = tensor_of(peft, tensor->name);
    EXPECT_LT((tensor_of(ours, tensor->name) - theirs).abs().max().item<double>(), 1e-6) << tensor->name;
    change = std::max(change, (first.stored(tensor->name) - theirs).abs().max().item<double>());
  }
  EXPECT_GT(change, 1e-3);
}

TEST(ModelFolder, ASumIsMadeInFp32AndRoundedOnce) {
  const TempDir dir;
  Merged merged("qwen3_gqa_bf16", "lora_trained");
  write_model_folder({.folder = {.path = dir / "auto"}, .base = merged.base()}, merged.weights());
  write_model_folder({.folder = {.path = dir / "f32"}, .base = merged.base(), .dtype = DType::kF32},
                     merged.weights());
  const WeightFiles small = WeightFiles::open(dir / "auto"), large = WeightFiles::open(dir / "f32");
  int adapted = 0;
  for (const Linear* linear : merged.decoder().linears()) {
    if (!linear->lora) continue;
    ++adapted;
    const torch::Tensor exact = linear->weight->value.to(torch::kFloat64) +
                                torch::matmul(linear->lora->b->value.to(torch::kFloat64),
                                              linear->lora->a->value.to(torch::kFloat64)) *
                                    linear->lora->scale;
    const torch::Tensor found = tensor_of(large, linear->weight->name);
    EXPECT_LT((found - exact).abs().max().item<double>(), 1e-6);
    EXPECT_TRUE(torch::equal(tensor_of(small, linear->weight->name), found.to(torch::kBFloat16)));
  }
  EXPECT_GT(adapted, 0);
  for (const TensorInfo* tensor : small.tensors()) EXPECT_EQ(tensor->dtype, DType::kBF16);
  EXPECT_TRUE(torch::equal(tensor_of(small, "model.norm.weight"), merged.stored("model.norm.weight")));
  EXPECT_EQ(read_json_file(dir / "auto/config.json")["torch_dtype"], "bfloat16");
  EXPECT_EQ(read_json_file(dir / "f32/config.json")["torch_dtype"], "float32");
}

TEST(ModelFolder, TrainedWeightsKeepTheTypeTheyWereTrainedIn) {
  const TempDir dir;
  const Path base = Path(RANKTUNE_TEST_DATA) / "golden/qwen2_gqa_tied/model";  // in fp32
  const auto decoder = load_model({.folder = base, .dtype = torch::kBFloat16});
  std::vector<torch::Tensor> values;
  for (const ParameterPtr& parameter : decoder->parameters()) values.push_back(parameter->value * 1.5);
  write_model_folder({.folder = {.path = dir / "out"}, .base = base, .max_shard_bytes = 20'000},
                     trained_weights(decoder->parameters(), values));
  const WeightFiles found = WeightFiles::open(dir / "out");
  EXPECT_GT(found.list().files.size(), 1u);
  EXPECT_EQ(found.tensors().size(), values.size());
  const Json config = read_json_file(dir / "out/config.json");
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
  EXPECT_EQ(config["tie_word_embeddings"], true);
  const auto again = load_model({.folder = dir / "out", .dtype = torch::kBFloat16});
  const ParameterList parameters = again->parameters();
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(found.get(parameters[i]->name).dtype, DType::kBF16);
    EXPECT_TRUE(torch::equal(parameters[i]->value, values[i])) << parameters[i]->name;
  }
}

TEST(ModelFolder, APieceIsAsGoodAsTheWhole) {
  Merged merged("qwen2_mha", "dora_trained");
  for (const FinalWeight& weight : merged.weights()) {
    std::vector<torch::Tensor> pieces;
    for (std::int64_t first = 0; first < weight.row_count(); first += 5)
      pieces.push_back(weight.rows(first, std::min<std::int64_t>(5, weight.row_count() - first)));
    const torch::Tensor whole = weight.rows(0, weight.row_count());
    EXPECT_LT((torch::cat(pieces) - whole).abs().max().item<double>(), 1e-6) << weight.name;
    std::int64_t rows = 0;
    for_each_piece(weight, 3, [&](const torch::Tensor& piece) { rows += piece.size(0); });
    EXPECT_EQ(rows, weight.row_count());
  }
}

TEST(ModelFolder, ValuesBeyondTheTypeAreRefusedAndLeaveNothing) {
  const TempDir dir;
  write_file(dir / "config.json", "{}");
  const auto write = [&](float value, DType dtype) {
    const torch::Tensor values = torch::tensor({1.0f, value});
    const FinalWeight weight{
        .name = "big.weight", .shape = {2}, .rows = [&](std::int64_t first, std::int64_t count) {
          return values.narrow(0, first, count);
        }};
    write_model_folder({.folder = {.path = dir / "out"}, .base = dir.path(), .dtype = dtype}, {weight});
  };
  expect_error([&] { write(7e4f, DType::kF16); }, "big.weight", "F16", "bf16");
  expect_error([&] { write(NAN, DType::kF32); }, "big.weight");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
  write(7e4f, DType::kBF16);
  EXPECT_TRUE(fs::exists(dir / "out/model.safetensors"));
  expect_error([&] { write(1, DType::kBF16); }, "not empty");
}

}  // namespace
}  // namespace ranktune
