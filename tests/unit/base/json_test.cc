#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

#include "support/expect_error.h"
#include "support/least_cpu_seconds.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

std::string nested(int depth) {
  const auto n = static_cast<std::size_t>(depth);
  return std::string(n, '[') + std::string(n, ']');
}

TEST(ParseJson, ReadsValues) {
  const Json json = parse_json(R"({"a": [1, -2.5, true, null, "\u4e2d"]})", "x");
  EXPECT_EQ(json["a"][0], 1);
  EXPECT_EQ(json["a"][1], -2.5);
  EXPECT_EQ(json["a"][4], "中");
}

TEST(ParseJson, NamesTheFileLineAndColumn) {
  expect_error([] { parse_json("{\n  \"a\": trux}", "config.json"); }, "config.json: not valid JSON",
               "line 2", "column 11");
  expect_error([] { parse_json("", "config.json"); }, "config.json: not valid JSON");
  expect_error([] { parse_json("{} {}", "config.json"); }, "config.json: not valid JSON");
}

TEST(ParseJson, IsStrict) {
  for (const char* text :
       {"{\"a\": 1,}", "// c\n{}", "{'a': 1}", "[NaN]", "[01]", "{a: 1}", "[\"\xff\"]", "[\"\t\"]"})
    expect_error([&] { parse_json(text, "x"); }, "x: not valid JSON");
}

TEST(ParseJson, RefusesNumbersBeyondTheRange) {
  expect_error([] { parse_json(R"({"n": 1e999})", "f.json"); }, "f.json", "not valid JSON", "1e999");
}

TEST(ParseJson, RefusesAKeyGivenTwice) {
  expect_error([] { parse_json(R"({"a": {"b": 1, "c": 2, "b": 3}})", "x"); }, "x: \"b\" is given twice");
  EXPECT_NO_THROW(parse_json(R"([{"a": {"a": 1}}, {"a": {"a": [{"a": 2}]}, "b": 3}])", "x"));
}

TEST(ParseJson, CapsTheDepth) {
  EXPECT_NO_THROW(parse_json(nested(256), "x"));
  expect_error([] { parse_json(nested(257), "x"); }, "x: JSON nested deeper than 256 levels");
  expect_error([] { parse_json(nested(1000000), "x"); }, "deeper than 256");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  expect_error([&] { parse_json(objects, "x"); }, "deeper than 256");
}

TEST(ParseJson, TimeIsLinearInTheNumberOfMembers) {
  const auto seconds = [](int members) {
    std::string text = "[{}";
    for (int i = 1; i < members; ++i) text += ",{}";
    text += "]";
    return least_cpu_seconds(
        [&] { EXPECT_EQ(parse_json(text, "x").size(), static_cast<std::size_t>(members)); });
  };
  EXPECT_LT(seconds(160000), 40 * seconds(20000) + 0.005);  // quadratic would be 64 times
}

TEST(ReadJsonFile, NamesThePath) {
  const TempDir folder;
  write_file(folder / "a.json", "{\"n\": 3}");
  EXPECT_EQ(read_json_file(folder / "a.json")["n"], 3);
  write_file(folder / "bad.json", "{");
  expect_error([&] { read_json_file(folder / "bad.json"); }, (folder / "bad.json").string(),
               "not valid JSON");
  expect_error([&] { read_json_file(folder / "none.json"); }, "none.json", "No such file");
}

TEST(JsonGet, ConvertsAndExplains) {
  const Json json = parse_json(R"({"n": 3, "s": "x", "l": [1, 2]})", "x");
  EXPECT_EQ(json_get<int>(json, "n", "f.json"), 3);
  EXPECT_EQ(json_get<std::vector<int>>(json, "l", "f.json"), (std::vector<int>{1, 2}));
  expect_error([&] { json_get<int>(json, "gone", "f.json"); }, "f.json: \"gone\" is missing");
  expect_error([&] { json_get<int>(json, "s", "f.json"); }, "f.json: \"s\" has an unexpected value: \"x\"");
  expect_error([&] { json_get<int>(json["l"], "n", "f.json"); }, "f.json: \"n\" is missing");
}

TEST(JsonGet, ChangesNoNumber) {
  const Json json = parse_json(
      R"({"whole": 1e6, "half": 2.5, "large": 4294967297, "most": 18446744073709551615, "huge": 1e300, "minus": -1,
          "yes": true, "list": [1, 2.5]})",
      "x");
  EXPECT_EQ(json_get<int>(json, "whole", "f.json"), 1000000);
  EXPECT_EQ(json_get<std::int64_t>(json, "large", "f.json"), 4294967297);
  EXPECT_EQ(json_get<std::uint64_t>(json, "most", "f.json"), 18446744073709551615u);
  for (const char* key : {"half", "large", "most", "huge", "yes", "list"})
    expect_error([&] { json_get<int>(json, key, "f.json"); }, "f.json", key, "unexpected value");
  expect_error([&] { json_get<std::int64_t>(json, "most", "f.json"); }, "unexpected value");
  expect_error([&] { json_get<std::uint64_t>(json, "minus", "f.json"); }, "unexpected value: -1");
  expect_error([&] { json_get<std::vector<int>>(json, "list", "f.json"); }, "unexpected value: [1,2.5]");
  EXPECT_EQ(json_get<double>(json, "half", "f.json"), 2.5);
}

TEST(JsonGetOr, FallsBackOnlyWhenAbsentOrNull) {
  const Json json = parse_json(R"({"null": null, "s": "x"})", "x");
  EXPECT_EQ(json_get_or(json, "gone", 5, "f.json"), 5);
  EXPECT_EQ(json_get_or(json, "null", 5, "f.json"), 5);
  EXPECT_EQ(json_get_or(Json(3), "n", 5, "f.json"), 5);
  expect_error([&] { json_get_or(json, "s", 5, "f.json"); }, "unexpected value");
}

TEST(OrderedJsonType, KeepsTheOrderOfKeys) {
  OrderedJson json;
  json["z"] = 1;
  json["a"] = 2;
  EXPECT_EQ(json.dump(), R"({"z":1,"a":2})");
}

}  // namespace
}  // namespace ranktune
