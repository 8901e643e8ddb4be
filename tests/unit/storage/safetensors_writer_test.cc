#include "storage/safetensors_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "byte_files.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

std::vector<std::byte> some_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

TEST(SafetensorsWriterTest, WritesTheBytesOfTheReference) {
  const TempDir dir;
  const SafetensorsFile reference = SafetensorsFile::open(test_file("reference.safetensors"));
  write_safetensors(dir / "copy.safetensors", reference.tensors(), reference.metadata());
  EXPECT_EQ(read_file(dir / "copy.safetensors"), read_file(test_file("reference.safetensors")));
}

TEST(SafetensorsWriterTest, TakesATensorInPieces) {
  const TempDir dir;
  const auto data = some_bytes(24);
  SafetensorsWriter writer(dir / "w.safetensors",
                           {{"none", DType::kU8, {0}}, {"a", DType::kF32, {2, 2}}, {"b", DType::kI64, {}}});
  writer.append("none", {});
  writer.append("a", std::span(data).first(5));
  EXPECT_FALSE(std::filesystem::exists(dir / "w.safetensors"));
  writer.append("a", std::span(data).subspan(5, 11));
  writer.append("b", std::span(data).subspan(16, 8));
  writer.commit();
  const SafetensorsFile file = SafetensorsFile::open(dir / "w.safetensors");
  EXPECT_TRUE(std::ranges::equal(file.get("a").data, std::span(data).first(16)));
  EXPECT_TRUE(std::ranges::equal(file.get("b").data, std::span(data).subspan(16)));
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST(SafetensorsWriterTest, DataBeginsAtAMultipleOfEight) {
  const TempDir dir;
  for (const std::string name : {"n", "nn", "nnn", "nnnnnnn"}) {
    const auto data = some_bytes(1);
    SafetensorsWriter writer(dir / "w.safetensors", {{name, DType::kU8, {1}}}, {});
    writer.append(name, data);
    writer.commit();
    EXPECT_EQ((read_file(dir / "w.safetensors").size() - 1) % 8, 0u);
    EXPECT_TRUE(SafetensorsFile::open(dir / "w.safetensors").metadata().empty());
  }
}

TEST(SafetensorsWriterTest, RefusesBytesOutOfOrderAndOfAnotherNumber) {
  const TempDir dir;
  const auto data = some_bytes(16);
  const std::vector<TensorSpec> specs{{"a", DType::kF32, {2}}, {"b", DType::kF32, {1}}};
  SafetensorsWriter writer(dir / "w.safetensors", specs);
  expect_error([&] { writer.append("b", std::span(data).first(4)); }, "\"b\"", "\"a\" is due");
  expect_error([&] { writer.append("a", std::span(data).first(9)); }, "\"a\"", "[2]", "8 bytes");
  writer.append("a", std::span(data).first(8));
  expect_error([&] { writer.commit(); }, "\"b\"", "0 bytes");
  writer.append("b", std::span(data).first(4));
  expect_error([&] { writer.append("b", std::span(data).first(4)); }, "the end");
  expect_error(
      [&] {
        SafetensorsWriter(dir / "x", {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}});
      },
      "\"a\"", "taken");
}

TEST(SafetensorsWriterTest, AnUnfinishedFileLeavesTheOldOne) {
  const TempDir dir;
  write_file(dir / "w.safetensors", "old");
  { SafetensorsWriter writer(dir / "w.safetensors", {{"a", DType::kU8, {1}}}); }
  EXPECT_EQ(read_file(dir / "w.safetensors"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

class ShardedWriteTest : public testing::Test {
 protected:
  std::vector<Path> write(std::uint64_t max_shard_bytes) {
    return write_sharded(
        {.folder = dir_.path(), .max_shard_bytes = max_shard_bytes, .metadata = {{"format", "pt"}}}, specs_,
        [this](std::size_t index, const ByteSink& sink) {
          sink(std::span(data_).first(specs_[index].bytes()));
        });
  }
  const TempDir dir_;
  const std::vector<TensorSpec> specs_{
      {"z", DType::kF32, {3}}, {"a", DType::kF32, {2}}, {"m", DType::kF32, {10}}, {"b", DType::kU8, {4}}};
  const std::vector<std::byte> data_ = some_bytes(64);
};

TEST_F(ShardedWriteTest, OneFileNeedsNoIndex) {
  EXPECT_EQ(write(1000), std::vector<Path>{dir_ / "model.safetensors"});
  EXPECT_EQ(SafetensorsFile::open(dir_ / "model.safetensors").tensors().size(), 4u);
  expect_error([&] { write(1000); }, "already holds model.safetensors");
}

TEST_F(ShardedWriteTest, SeveralAreNamedAndIndexedAsHuggingFaceDoes) {
  EXPECT_EQ(
      write(20),
      (std::vector<Path>{dir_ / "model-00001-of-00003.safetensors", dir_ / "model-00002-of-00003.safetensors",
                         dir_ / "model-00003-of-00003.safetensors", dir_ / "model.safetensors.index.json"}));
  const Json index = read_json_file(dir_ / "model.safetensors.index.json");
  EXPECT_EQ(index, Json::parse(R"({"metadata": {"total_size": 64}, "weight_map": {
      "z": "model-00001-of-00003.safetensors", "a": "model-00001-of-00003.safetensors",
      "m": "model-00002-of-00003.safetensors", "b": "model-00003-of-00003.safetensors"}})"));
  const SafetensorsFile first = SafetensorsFile::open(dir_ / "model-00001-of-00003.safetensors");
  EXPECT_TRUE(std::ranges::equal(first.get("z").data, std::span(data_).first(12)));
}

}  // namespace
}  // namespace ranktune
