#include "storage/safetensors.h"

#include <gtest/gtest.h>

#include "byte_files.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(SafetensorsTest, ReadsWhatTheReferenceWrote) {
  const SafetensorsFile file = SafetensorsFile::open(test_file("reference.safetensors"));
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  ASSERT_EQ(file.tensors().size(), 8u);
  EXPECT_EQ(values_of<double>(file.get("alpha")), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.get("alpha").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(values_of<std::int64_t>(file.get("beta")), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(values_of<float>(file.get("matrix")), (std::vector<float>{0.5f, -1.5f, 2.0f, 3.0f}));
  EXPECT_EQ(values_of<std::int32_t>(file.get("scalar")), std::vector<std::int32_t>{7});
  EXPECT_TRUE(file.get("scalar").shape.empty());
  EXPECT_EQ(file.get("scalar").elements(), 1);
  EXPECT_EQ(file.get("empty").shape, (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(file.get("empty").elements(), 0);
  EXPECT_EQ(values_of<std::uint8_t>(file.get("größe")), (std::vector<std::uint8_t>{1, 255}));
  EXPECT_EQ(file.find("gamma"), nullptr);
  expect_error([&] { file.get("matrx"); }, "matrx", "reference.safetensors", "did you mean \"matrix\"");
}

TEST(SafetensorsTest, WorksOverBytesThatTheCallerKeeps) {
  const std::string text = read_file(test_file("reference.safetensors"));
  const SafetensorsFile file(std::as_bytes(std::span(text.data(), text.size())), "memory");
  EXPECT_GE(file.get("matrix").data.data(), reinterpret_cast<const std::byte*>(text.data()));
  EXPECT_LE(file.get("matrix").data.data() + 16,
            reinterpret_cast<const std::byte*>(text.data() + text.size()));
}

struct BadHeader {
  std::string name, header;
  std::size_t data_bytes;
  std::vector<std::string> message;
};
class BadSafetensorsTest : public testing::TestWithParam<BadHeader> {};

TEST_P(BadSafetensorsTest, IsRefusedByFileAndReason) {
  const auto& [name, header, data_bytes, message] = GetParam();
  try {
    open_text(safetensors_text(header, data_bytes));
    FAIL() << "accepted " << header;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("some.safetensors"));
    for (const std::string& part : message) EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(
    , BadSafetensorsTest,
    testing::Values(
        BadHeader{"NotJson", R"({"a":)", 0, {"JSON"}}, BadHeader{"Array", "[]", 0, {"not a JSON object"}},
        BadHeader{"Deep", R"({"a":{"dtype":"U8","shape":[[[[1]]]],"data_offsets":[0,1]}})", 1, {"nested"}},
        BadHeader{"BadUtf8", "{\"\xff\xfe\":{}}", 0, {"JSON"}},
        BadHeader{"NumberBeyondRange",
                  R"({"w":{"dtype":"U8","shape":[1e999],"data_offsets":[0,1]}})",
                  1,
                  {"header", "number"}},
        BadHeader{"NameTwice",
                  R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                  R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                  2,
                  {"\"a\"", "twice"}},
        BadHeader{"FieldTwice",
                  R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})",
                  1,
                  {"twice"}},
        BadHeader{
            "UnknownDtype", R"({"w":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4, {"\"w\"", "F31"}},
        BadHeader{
            "NoDtype", R"({"w":{"type":"F32","shape":[1],"data_offsets":[0,4]}})", 4, {"\"w\"", "dtype"}},
        BadHeader{
            "ExtraField", R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1, {"\"w\""}},
        BadHeader{"EntryNoObject", R"({"w":3})", 0, {"\"w\""}},
        BadHeader{
            "NegativeShape", R"({"w":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, {"\"w\"", "-1"}},
        BadHeader{"FractionShape",
                  R"({"w":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})",
                  1,
                  {"\"w\"", "1.0"}},
        BadHeader{
            "ShapeNoList", R"({"w":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, {"\"w\"", "shape"}},
        BadHeader{"Overflow",
                  R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
                  0,
                  {"4294967296", "64 bits"}},
        BadHeader{"ShapeTooLarge",
                  R"({"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,12]}})",
                  12,
                  {"16", "12", "[2, 2]"}},
        BadHeader{
            "OffsetsReversed", R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, {"\"w\""}},
        BadHeader{"ThreeOffsets",
                  R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}})",
                  1,
                  {"data_offsets"}},
        BadHeader{"Truncated",
                  R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})",
                  15,
                  {"\"w\"", "truncated"}},
        BadHeader{
            "Overlap",
            R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
            6,
            {"\"a\"", "\"b\"", "overlap"}},
        BadHeader{
            "SameBytes",
            R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
            4,
            {"overlap"}},
        BadHeader{
            "Hole",
            R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})",
            4,
            {"2 bytes", "\"b\""}},
        BadHeader{"BytesLeftOver",
                  R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                  3,
                  {"2 bytes after"}},
        BadHeader{"MetadataNoObject", R"({"__metadata__":1})", 0, {"__metadata__"}},
        BadHeader{"MetadataNumber", R"({"__metadata__":{"format":1}})", 0, {"format"}}),
    [](const auto& test) { return test.param.name; });

TEST(SafetensorsTest, HeaderLengthIsCheckedBeforeAnythingElse) {
  expect_error([] { open_text(""); }, "0 bytes", "truncated");
  expect_error([] { open_text("1234567"); }, "7 bytes");
  expect_error([] { open_text(std::string(8, '\xff') + "{}"); }, "18446744073709551615", "2 bytes follow");
  expect_error([] { open_text(std::string("\x03\0\0\0\0\0\0\0{}", 10)); }, "header of 3 bytes",
               "2 bytes follow");
}

/// What a damaged file may do: be refused, or give tensors that lie inside it and have the bytes they claim.
void expect_refused_or_sound(const std::string& text) {
  const FileBytes bytes = bytes_of_text(text);
  try {
    const SafetensorsFile file(bytes, "damaged");
    for (const TensorInfo& tensor : file.tensors()) {
      ASSERT_GE(tensor.data.data(), bytes.bytes.data());
      ASSERT_LE(tensor.data.data() + tensor.data.size(), bytes.bytes.data() + bytes.bytes.size());
      ASSERT_EQ(static_cast<std::size_t>(tensor.elements()) * dtype_size(tensor.dtype), tensor.data.size());
    }
  } catch (const Error&) {
  }
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  const std::string whole = read_file(test_file("reference.safetensors"));
  for (std::size_t size = 0; size < whole.size(); ++size)
    expect_error([&] { open_text(whole.substr(0, size)); }, "some.safetensors");
}

TEST(SafetensorsTest, EveryChangedByteIsRefusedOrHarmless) {
  const std::string whole = read_file(test_file("reference.safetensors"));
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int change : {0x01, 0x10, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      expect_refused_or_sound(damaged);
    }
}

}  // namespace
}  // namespace ranktune
