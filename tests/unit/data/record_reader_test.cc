#include "data/record_reader.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "base/random.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

class RecordReaderTest : public ::testing::Test {
 protected:
  std::vector<Record> read(const std::string& name, const std::string& content, std::int64_t most = 1 << 20) {
    write_file(folder_ / name, content);
    RecordReader reader(folder_ / name, most);
    std::vector<Record> records;
    for (Record record; reader.next(record);) records.push_back(record);
    EXPECT_EQ(reader.hash(), hash_hex(content));
    EXPECT_EQ(reader.bytes_read(), static_cast<std::int64_t>(content.size()));
    EXPECT_EQ(reader.bytes_total(), reader.bytes_read());
    return records;
  }
  static std::vector<std::string> texts(const std::vector<Record>& records) {
    std::vector<std::string> all;
    for (const Record& record : records) all.push_back(record.text);
    return all;
  }
  static std::vector<std::int64_t> lines(const std::vector<Record>& records) {
    std::vector<std::int64_t> all;
    for (const Record& record : records) all.push_back(record.line);
    return all;
  }
  TempDir folder_;
};

using Texts = std::vector<std::string>;
using Lines = std::vector<std::int64_t>;

TEST_F(RecordReaderTest, LinesOfJsonl) {
  const auto records =
      read("a.jsonl", "\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"b\":2}  \n[3]\nbroken {\n{\"last\":1}");
  EXPECT_EQ(texts(records), (Texts{"{\"a\":1}", "{\"b\":2}", "[3]", "broken {", "{\"last\":1}"}));
  EXPECT_EQ(lines(records), (Lines{1, 4, 5, 6, 7}));
  EXPECT_EQ(records.back().number, 5);
}

TEST_F(RecordReaderTest, ElementsOfAnArray) {
  const auto records =
      read("a.json", "\n[ {\"a\": \"]},{ \\\" \\\\\"},\n\n  {\"b\": [1, {\"c\": 2}]\n } ,7\n,\"x,y\"]\n\n");
  EXPECT_EQ(texts(records),
            (Texts{"{\"a\": \"]},{ \\\" \\\\\"}", "{\"b\": [1, {\"c\": 2}]\n }", "7", "\"x,y\""}));
  EXPECT_EQ(lines(records), (Lines{2, 4, 5, 6}));
}

TEST_F(RecordReaderTest, EmptyFilesAndArrays) {
  EXPECT_TRUE(read("a.jsonl", "").empty());
  EXPECT_TRUE(read("b.json", "").empty());
  EXPECT_TRUE(read("c.json", "[]").empty());
  EXPECT_TRUE(read("d.json", " [ \n ] ").empty());
  EXPECT_EQ(texts(read("e.json", "[{},]")), (Texts{"{}", ""}));
}

TEST_F(RecordReaderTest, AgreesWithAJsonParserOnRandomArrays) {
  // Strings full of the characters the scanner looks for, elements longer than its reading block.
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const CounterRandom random(seed);
    Json array = Json::array();
    for (std::uint64_t i = 0; i < 1 + random.bits(0) % 30; ++i) {
      std::string text;
      const std::uint64_t length = random.bits(3 * i + 1) % (i % 7 == 0 ? 400000 : 50);
      for (std::uint64_t k = 0; k < length; ++k) text += "\"\\[]{},:\n a"[random.bits(1000 * i + k) % 11];
      array.push_back({{"text", text}, {"list", Json::array({text.substr(0, 5), i})}});
    }
    const auto records = read("a.json", array.dump(static_cast<int>(seed % 3)), 1 << 24);
    ASSERT_EQ(records.size(), array.size());
    for (std::size_t i = 0; i < records.size(); ++i) EXPECT_EQ(Json::parse(records[i].text), array[i]);
  }
}

TEST_F(RecordReaderTest, WhatLosesAnUnknownNumberOfRowsIsRefused) {
  expect_error([&] { read("a.json", "[{\"a\": 1},\n{\"b\": \"x}]"); }, "a.json", "line 2", "cut off");
  expect_error([&] { read("a.json", "[{\"a\": 1}"); }, "cut off");
  expect_error([&] { read("a.json", "[{\"a\": 1}]\n[{\"a\": 1}]"); }, "a.json:2", "follows the array");
}

TEST_F(RecordReaderTest, ARowThatIsTooLargeIsRefusedBeforeItFillsTheMemory) {
  const std::string large(3 << 20, 'x');
  expect_error([&] { read("a.jsonl", "{}\n" + large); }, "a.jsonl:2", "more than 1048576 bytes");
  expect_error([&] { read("a.json", "[{},\n\"" + large); }, "a.json:2", "max_record_bytes");
}

TEST_F(RecordReaderTest, UnreadableAndForeignFilesAreNamed) {
  expect_error([&] { RecordReader(folder_ / "none.json", 100); }, "none.json", "No such file");
  expect_error([&] { RecordReader(folder_.path(), 100); }, "is a folder");
  expect_error([&] { read("a.json", std::string("\x1f\x8b\x08\x00", 4)); }, "compressed");
  expect_error([&] { read("a.json", std::string("\xff\xfe[\x00{\x00", 6)); }, "UTF-16");
}

}  // namespace
}  // namespace ranktune
