#include "storage/gguf.h"

#include <gtest/gtest.h>

#include "byte_files.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

GgufFile open_gguf(std::string text) { return GgufFile(bytes_of_text(std::move(text)), "some.gguf"); }

/// GGUF bytes made by hand.
class Bytes {
 public:
  template <typename T>
  Bytes& add(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& add_text(std::string_view text) {
    add(std::uint64_t{text.size()});
    text_ += text;
    return *this;
  }
  Bytes& header(std::uint64_t tensors, std::uint64_t values, std::uint32_t version = 3) {
    text_ += "GGUF";
    return add(version).add(tensors).add(values);
  }
  Bytes& tensor(std::string_view name, std::uint64_t elements, std::uint32_t type, std::uint64_t offset) {
    return add_text(name).add(std::uint32_t{1}).add(elements).add(type).add(offset);
  }
  Bytes& fill(std::size_t size) {
    text_.resize(size, '\0');
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

TEST(GgufTest, ReadsEveryKindOfValue) {
  const GgufFile file = GgufFile::open(test_file("metadata.gguf"));
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.get_string("general.architecture"), "llama");
  EXPECT_EQ(file.get_int("test.uint8"), 200);
  EXPECT_EQ(file.get_int("test.int8"), -100);
  EXPECT_EQ(file.get_int("test.uint16"), 60000);
  EXPECT_EQ(file.get_int("test.int16"), -30000);
  EXPECT_EQ(file.get_int("test.uint32"), 4000000000);
  EXPECT_EQ(file.get_int("test.int32"), -2000000000);
  EXPECT_EQ(std::get<std::uint64_t>(file.find("test.uint64")->value), (std::uint64_t{1} << 63) + 5);
  EXPECT_EQ(file.get_int("test.int64"), -(std::int64_t{1} << 62));
  EXPECT_EQ(file.get_number("test.float32"), 1e-5);  // the decimal that was meant, not the fp32 near it
  EXPECT_EQ(file.get_number("test.float64"), 0.1);
  EXPECT_TRUE(file.get_bool("test.yes"));
  EXPECT_EQ(file.get_string("test.text"), "zwei\nZeilen – 你好");
  EXPECT_EQ(file.get_ints("test.numbers"), (std::vector<std::int64_t>{3, -1, 2}));
  EXPECT_EQ(file.get_strings("test.texts"), (std::vector<std::string_view>{"a", "", "ß"}));
  const auto& nested = std::get<GgufValue::Array>(file.find("test.nested")->value);
  ASSERT_EQ(nested.size(), 2u);
  EXPECT_EQ(std::get<GgufValue::Array>(nested[0].value).size(), 2u);
}

TEST(GgufTest, ReadsTensorsAtTheirAlignment) {
  const GgufFile file = GgufFile::open(test_file("metadata.gguf"));
  const GgufTensor* first = file.find_tensor("first");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(first->rows(), 2);
  EXPECT_EQ(first->row_elements(), 3);
  std::vector<float> values(6);
  dequantize(first->type, first->data, values);
  EXPECT_EQ(values, (std::vector<float>{0, 1, 2, 3, 4, 5}));
  std::vector<float> halves(4);
  dequantize(file.find_tensor("second")->type, file.find_tensor("second")->data, halves);
  EXPECT_EQ(halves, (std::vector<float>{0, 1, 2, 3}));
  EXPECT_EQ(file.find_tensor("third"), nullptr);
}

TEST(GgufTest, AWrongKindOfValueIsNamed) {
  const GgufFile file = GgufFile::open(test_file("metadata.gguf"));
  expect_error([&] { file.get_int("test.text"); }, "metadata.gguf", "test.text", "whole number");
  expect_error([&] { file.get_int("test.uint64"); }, "64 bits");
  expect_error([&] { file.get_string("test.yes"); }, "test.yes", "text");
  expect_error([&] { file.get_bool("test.int8"); }, "test.int8");
  expect_error([&] { file.get_strings("test.numbers"); }, "test.numbers");
  expect_error([&] { file.get_ints("test.texts"); }, "test.texts");
  expect_error([&] { file.get_number("absent"); }, "absent", "missing");
}

TEST(GgufTest, OtherFilesAndVersionsAreRefused) {
  expect_error([] { open_gguf(""); }, "some.gguf", "not a GGUF file");
  expect_error([] { open_gguf("PK\x03\x04 a zip file, not a model"); }, "not a GGUF file");
  expect_error([] { open_gguf(Bytes().header(0, 0, 1).text()); }, "version 1");
  expect_error([] { open_gguf(Bytes().header(0, 0, 4).text()); }, "version 4");
  expect_error([] { open_gguf(Bytes().header(0, 0, 0x03000000).text()); }, "big-endian");
  EXPECT_EQ(open_gguf(Bytes().header(0, 0, 2).text()).version(), 2u);
}

TEST(GgufTest, AnnouncedCountsAreHeldAgainstTheBytesThereAre) {
  constexpr std::uint64_t kMany = std::uint64_t{1} << 60;
  expect_error([] { open_gguf(Bytes().header(kMany, 0).fill(100).text()); }, "1152921504606846976 tensors");
  expect_error([] { open_gguf(Bytes().header(0, kMany).fill(100).text()); },
               "1152921504606846976 metadata values");
  expect_error([] { open_gguf(Bytes().header(0, 1).add(kMany).fill(100).text()); },
               "a text of 1152921504606846976");
  const auto array = [](std::uint32_t type, std::uint64_t count) {
    return Bytes().header(0, 1).add_text("k").add(std::uint32_t{9}).add(type).add(count).fill(100).text();
  };
  for (std::uint32_t type = 0; type < 13; ++type)
    expect_error([&] { open_gguf(array(type, kMany)); }, "\"k\"", "list values are announced");
  expect_error([&] { open_gguf(array(13, 1)); }, "\"k\"", "value type 13");
}

TEST(GgufTest, ListsAreNotNestedWithoutEnd) {
  Bytes bytes;
  bytes.header(0, 1).add_text("k").add(std::uint32_t{9});
  for (int i = 0; i < 1000; ++i) bytes.add(std::uint32_t{9}).add(std::uint64_t{1});
  expect_error([&] { open_gguf(bytes.fill(20000).text()); }, "\"k\"", "nested");
}

TEST(GgufTest, BadTensorsAreNamed) {
  const auto with = [](auto&& add) {
    Bytes bytes;
    add(bytes);
    return bytes.fill(256).text();
  };
  expect_error([&] { open_gguf(with([](Bytes& b) { b.header(1, 0).tensor("w", 4, 10, 0); })); }, "\"w\"",
               "number 10", "Q4_K");
  expect_error([&] { open_gguf(with([](Bytes& b) { b.header(1, 0).tensor("w", 0, 0, 0); })); }, "\"w\"",
               "dimension 0 is 0");
  expect_error([&] { open_gguf(with([](Bytes& b) { b.header(1, 0).tensor("w", 33, 8, 0); })); }, "\"w\"",
               "whole blocks of 32");
  expect_error([&] { open_gguf(with([](Bytes& b) { b.header(1, 0).tensor("w", 4, 0, 8); })); }, "\"w\"",
               "multiple of 32");
  expect_error([&] { open_gguf(with([](Bytes& b) { b.header(1, 0).tensor("w", 64, 0, 0); })); }, "\"w\"",
               "truncated");
  expect_error(
      [&] { open_gguf(with([](Bytes& b) { b.header(1, 0).tensor("w", 4, 0, ~std::uint64_t{31}); })); },
      "\"w\"");
  expect_error(
      [&] { open_gguf(with([](Bytes& b) { b.header(2, 0).tensor("w", 4, 0, 0).tensor("w", 4, 0, 32); })); },
      "twice");
  expect_error(
      [&] { open_gguf(with([](Bytes& b) { b.header(2, 0).tensor("v", 9, 0, 0).tensor("w", 4, 0, 32); })); },
      "\"v\"", "\"w\"", "overlap");
  expect_error(
      [&] {
        open_gguf(with([](Bytes& b) {
          b.header(1, 0)
              .add_text("w")
              .add(std::uint32_t{2})
              .add(std::uint64_t{1} << 40)
              .add(std::uint64_t{1} << 40);
        }));
      },
      "some.gguf", "\"w\"", "64 bits");
  expect_error([&] { open_gguf(with([](Bytes& b) { b.header(1, 0).add_text("w").add(std::uint32_t{5}); })); },
               "5 dimensions");
}

TEST(GgufTest, RepeatedKeysAndBadAlignmentsAreRefused) {
  const auto alignment = [](std::uint32_t value, std::uint64_t times) {
    Bytes bytes;
    bytes.header(0, times);
    for (std::uint64_t i = 0; i < times; ++i)
      bytes.add_text("general.alignment").add(std::uint32_t{4}).add(value);
    return bytes.text();
  };
  expect_error([&] { open_gguf(alignment(32, 2)); }, "general.alignment", "twice");
  expect_error([&] { open_gguf(alignment(0, 1)); }, "alignment of 0");
  expect_error([&] { open_gguf(alignment(0xFFFFFFFF, 1)); }, "alignment of 4294967295");
}

TEST(GgufTest, EveryTruncationIsRefused) {
  const std::string whole = read_file(test_file("metadata.gguf"));
  // The writer pads behind the last tensor; without the padding the file is still whole.
  const GgufFile file = GgufFile::open(test_file("metadata.gguf"));
  const std::size_t needed = 768 + 64 + file.find_tensor("second")->data.size();
  ASSERT_LE(needed, whole.size());
  for (std::size_t size = 0; size < needed; ++size)
    expect_error([&] { open_gguf(whole.substr(0, size)); }, "some.gguf");
}

TEST(GgufTest, EveryChangedByteIsRefusedOrHarmless) {
  const std::string whole = read_file(test_file("metadata.gguf"));
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int change : {0x01, 0x08, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      const FileBytes bytes = bytes_of_text(damaged);
      try {
        const GgufFile file(bytes, "damaged");
        for (const GgufTensor& tensor : file.tensors()) {
          ASSERT_GE(tensor.data.data(), bytes.bytes.data());
          ASSERT_LE(tensor.data.data() + tensor.data.size(), bytes.bytes.data() + bytes.bytes.size());
          std::vector<float> values(static_cast<std::size_t>(tensor.rows() * tensor.row_elements()));
          dequantize(tensor.type, tensor.data, values);
        }
      } catch (const Error&) {
      }
    }
}

}  // namespace
}  // namespace ranktune
