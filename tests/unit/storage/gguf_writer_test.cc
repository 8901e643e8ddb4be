#include "storage/gguf_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "storage/gguf.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

GgufMetadata some_metadata() {
  GgufMetadata metadata;
  metadata.add_text("general.architecture", "llama");
  metadata.add_u32("test.count", 4000000000u);
  metadata.add_f32("test.number", 1e-5f);
  metadata.add_flag("test.yes", true);
  metadata.add_texts("test.texts", std::array<std::string, 3>{"a", "", "ß"});
  metadata.add_i32s("test.numbers", std::array<std::int32_t, 3>{3, -1, 2});
  return metadata;
}

const std::vector<GgufSpec> kSpecs{{"first", GgmlType::kF32, {2, 3}}, {"second", GgmlType::kQ8_0, {2, 64}}};

std::vector<std::byte> some_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

TEST(GgufWriterTest, TheReaderReadsItBack) {
  const TempDir dir;
  const auto first = some_bytes(24), second = some_bytes(136);
  for (const char* name : {"a.gguf", "b.gguf"}) {
    GgufWriter writer(dir / name, some_metadata(), kSpecs);
    writer.append("first", first);
    writer.append("second", std::span(second).first(100));
    writer.append("second", std::span(second).subspan(100));
    writer.commit();
  }
  EXPECT_EQ(read_file(dir / "a.gguf"), read_file(dir / "b.gguf"));
  EXPECT_EQ(std::filesystem::file_size(dir / "a.gguf"), gguf_file_bytes(some_metadata(), kSpecs));

  const GgufFile file = GgufFile::open(dir / "a.gguf");
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.values().size(), 6u);
  EXPECT_EQ(file.get_string("general.architecture"), "llama");
  EXPECT_EQ(file.get_int("test.count"), 4000000000);
  EXPECT_EQ(file.get_number("test.number"), 1e-5);
  EXPECT_TRUE(file.get_bool("test.yes"));
  EXPECT_EQ(file.get_strings("test.texts"), (std::vector<std::string_view>{"a", "", "ß"}));
  EXPECT_EQ(file.get_ints("test.numbers"), (std::vector<std::int64_t>{3, -1, 2}));
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_TRUE(std::ranges::equal(file.tensors()[0].data, first));
  EXPECT_EQ(file.tensors()[1].type, GgmlType::kQ8_0);
  EXPECT_TRUE(std::ranges::equal(file.tensors()[1].data, second));
}

TEST(GgufWriterTest, MisuseIsRefusedAndLeavesNothing) {
  const TempDir dir;
  GgufMetadata metadata = some_metadata();
  expect_error([&] { metadata.add_flag("test.yes", false); }, "\"test.yes\"", "twice");
  {
    GgufWriter writer(dir / "x.gguf", metadata, kSpecs);
    expect_error([&] { writer.append("second", some_bytes(1)); }, "\"second\"", "\"first\" is due");
    expect_error([&] { writer.append("first", some_bytes(25)); }, "24 bytes");
    writer.append("first", some_bytes(24));
    expect_error([&] { writer.commit(); }, "\"second\"", "0 bytes");
  }
  expect_error(
      [&] {
        GgufWriter(dir / "x.gguf", metadata, {{"q", GgmlType::kQ8_0, {2, 33}}});
      },
      "\"q\"", "Q8_0");
  expect_error([&] { GgufWriter(dir / "x.gguf", metadata, {kSpecs[0], kSpecs[0]}); }, "\"first\"", "twice");
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace ranktune
