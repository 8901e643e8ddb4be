#include "storage/weight_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "byte_files.h"
#include "storage/safetensors_writer.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

/// A folder with two shards: "a" and "b" in the first, "c" in the second.
class WeightFilesTest : public testing::Test {
 protected:
  WeightFilesTest() {
    write("one.safetensors", {"a", "b"});
    write("two.safetensors", {"c"});
    index(R"("a":"one.safetensors","b":"one.safetensors","c":"two.safetensors")");
  }
  void write(const std::string& file, const std::vector<std::string>& names) {
    std::vector<TensorInfo> tensors;
    for (const std::string& name : names)
      tensors.push_back({name, DType::kF32, {2}, std::as_bytes(std::span(values_))});
    write_safetensors(dir_ / file, tensors);
  }
  void index(const std::string& weight_map) {
    write_file(dir_ / "model.safetensors.index.json",
               R"({"metadata":{"total_size":24},"weight_map":{)" + weight_map + "}}");
  }
  WeightFiles open() { return WeightFiles::open(dir_.path()); }

  const TempDir dir_;
  const std::vector<float> values_{1.5f, -2.0f};
};

TEST_F(WeightFilesTest, FindsTensorsAcrossShards) {
  const WeightFiles weights = open();
  EXPECT_EQ(values_of<float>(weights.get("a")), values_);
  EXPECT_EQ(values_of<float>(weights.get("c")), values_);
  EXPECT_EQ(weights.find("d"), nullptr);
  EXPECT_EQ(weights.tensors().size(), 3u);
  EXPECT_EQ(weights.total_bytes(), 24u);
  EXPECT_EQ(weights.list().files, (std::vector<std::string>{"one.safetensors", "two.safetensors"}));
  expect_error([&] { weights.get("model.layers.0"); }, "model.layers.0", dir_.path().string());
}

TEST_F(WeightFilesTest, AMovedOneStillFindsItsTensors) {
  WeightFiles weights = open();
  const WeightFiles moved = std::move(weights);
  EXPECT_EQ(values_of<float>(moved.get("b")), values_);
}

TEST_F(WeightFilesTest, ASingleFileNeedsNoIndex) {
  const TempDir dir;
  std::filesystem::copy(dir_ / "one.safetensors", dir / "model.safetensors");
  EXPECT_EQ(WeightFiles::open(dir.path()).tensors().size(), 2u);
}

TEST_F(WeightFilesTest, BytesMayComeFromElsewhere) {
  const WeightList list = list_weights(dir_.path());
  const std::string one = read_file(dir_ / "one.safetensors"), two = read_file(dir_ / "two.safetensors");
  std::filesystem::remove(dir_ / "one.safetensors");
  std::filesystem::remove(dir_ / "two.safetensors");
  std::vector<std::string> asked;
  const WeightFiles weights(list, [&](const Path& path) {
    asked.push_back(path.filename().string());
    return bytes_of_text(asked.size() == 1 ? one : two);
  });
  EXPECT_EQ(asked, list.files);
  EXPECT_EQ(values_of<float>(weights.get("c")), values_);
}

TEST_F(WeightFilesTest, IndexAndShardsMustAgree) {
  index(R"("a":"one.safetensors","c":"two.safetensors")");
  expect_error([&] { open(); }, "one.safetensors", "\"b\" is not in");
  index(R"("a":"one.safetensors","b":"two.safetensors","c":"two.safetensors")");
  expect_error([&] { open(); }, "\"b\"", "two.safetensors");
  index(R"("a":"one.safetensors","b":"one.safetensors","c":"two.safetensors","d":"two.safetensors")");
  expect_error([&] { open(); }, "\"d\" is missing", "two.safetensors");
  index(R"("a":"one.safetensors","b":"one.safetensors","c":"three.safetensors")");
  expect_error([&] { open(); }, "three.safetensors", "absent");
}

TEST_F(WeightFilesTest, ATensorInTwoShardsIsRefused) {
  write("two.safetensors", {"b", "c"});
  expect_error([&] { open(); }, "\"b\"", "two.safetensors", "another shard");
}

TEST_F(WeightFilesTest, ADamagedIndexIsRefused) {
  for (const std::string path : {"../one.safetensors", "/etc/passwd", "", ".."}) {
    index("\"a\":\"" + path + "\"");
    expect_error([&] { open(); }, "\"a\"", "not a file of that folder");
  }
  index(R"("a":3)");
  expect_error([&] { open(); }, "\"a\"", "no file name");
  index("");
  expect_error([&] { open(); }, "names no tensors");
  write_file(dir_ / "model.safetensors.index.json", "[]");
  expect_error([&] { open(); }, "weight_map");
}

TEST_F(WeightFilesTest, AFolderWithBothFormsIsRefused) {
  std::filesystem::copy(dir_ / "one.safetensors", dir_ / "model.safetensors");
  expect_error([&] { open(); }, "both", "model.safetensors");
}

TEST_F(WeightFilesTest, AFolderWithoutWeightsSaysWhatIsThere) {
  const TempDir dir;
  expect_error([&] { WeightFiles::open(dir.path()); }, "neither model.safetensors");
  expect_error([&] { WeightFiles::open(dir / "absent"); }, "does not exist");
  write_file(dir / "pytorch_model.bin", "");
  expect_error([&] { WeightFiles::open(dir.path()); }, "pytorch_model.bin", "convert");
  std::filesystem::rename(dir / "pytorch_model.bin", dir / "model.Q8_0.gguf");
  expect_error([&] { WeightFiles::open(dir.path()); }, "ranktune import");
}

TEST_F(WeightFilesTest, AnEmptyShardIsTruncated) {
  write_file(dir_ / "two.safetensors", "");
  expect_error([&] { open(); }, "two.safetensors", "truncated");
}

}  // namespace
}  // namespace ranktune
