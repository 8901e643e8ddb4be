#include "data/prepare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/json.h"
#include "data/shard_reader.h"
#include "support/expect_error.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

const Path kData = Path(RANKTUNE_TEST_DATA) / "data";

class PrepareTest : public ::testing::Test {
 protected:
  explicit PrepareTest(const char* model = "smollm2") : model_(model) {}

  PrepOptions options(const Path& input) const {
    PrepOptions options;
    options.inputs = {input};
    options.output = folder_ / "out.h5";
    options.model = model_.path();
    return options;
  }
  Path input(const std::string& name, const std::string& text) const {
    write_file(folder_ / name, text);
    return folder_ / name;
  }
  /// `count` short alpaca rows, all different.
  Path alpaca_rows(int count) const {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += R"({"instruction":"What is )" + std::to_string(i) + R"(?","input":"","output":"It is number )" +
              std::to_string(i) + "\"}\n";
    }
    return input("rows.jsonl", text);
  }
  std::string text_of(const ShardReader& reader, std::int64_t row) const {
    return Tokenizer::load(model_.path())->decode(reader.read(row).tokens);
  }
  ModelFolder model_;
  TempDir folder_;
};

/// The files of transformers' own rendering and tokenisation: ids and the spans of the assistants' turns.
class PreparedGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(PreparedGolden, IdsAndTargetsAreThoseOfTheReference) {
  const ModelFolder model(GetParam());
  const TempDir folder;
  std::istringstream lines(
      read_zst(Path(RANKTUNE_TEST_DATA) / "chat" / (std::string(GetParam()) + ".jsonl.zst")));
  std::string rows;
  std::vector<Json> expected;
  for (std::string line; std::getline(lines, line);) {
    const Json golden = Json::parse(line);
    if (golden["add_generation_prompt"].get<bool>()) continue;
    rows += Json{{"messages", golden["messages"]}}.dump() + "\n";
    expected.push_back(golden);
  }
  ASSERT_GT(expected.size(), 4u);
  write_file(folder / "rows.jsonl", rows);
  PrepOptions options;
  options.inputs = {folder / "rows.jsonl"};
  options.output = folder / "out.h5";
  options.model = model.path();
  const PrepSummary summary = prepare(options);
  EXPECT_EQ(summary.rows_without_end_token, 0);
  const ShardReader reader(folder / "out.h5");
  ASSERT_EQ(reader.rows(), static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const TokenRow row = reader.read(static_cast<std::int64_t>(i));
    EXPECT_EQ(row.tokens, expected[i]["ids"].get<std::vector<std::int32_t>>());
    std::vector<std::uint8_t> mask(row.tokens.size(), 0);
    for (const Json& span : expected[i]["assistant_spans"]) {
      std::fill(mask.begin() + span[0].get<int>(), mask.begin() + span[1].get<int>(), std::uint8_t{1});
    }
    EXPECT_EQ(row.loss_mask, mask);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, PreparedGolden,
                         ::testing::Values("smollm2", "qwen1", "qwen1.5", "qwen2.5", "qwen3"),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST_F(PrepareTest, DirtyRowsAreCountedUnderTheirClass) {
  std::istringstream classes(read_file(kData / "dirty_classes.txt"));
  std::map<std::string, std::int64_t> expected;
  std::vector<std::string> class_of_line;
  for (std::string name; std::getline(classes, name);) {
    expected[name] += 1;
    class_of_line.push_back(name);
  }
  PrepOptions dirty = options(kData / "dirty.jsonl");
  dirty.on_bad_row = BadRow::kSkip;
  dirty.dedupe = true;
  const PrepSummary summary = prepare(dirty);
  EXPECT_EQ(summary.rows_in, 43);
  const std::set<std::string> refused{"exact_duplicate", "empty_output",   "broken_json",
                                      "wrong_keys",      "non_utf8",       "role_order_error",
                                      "no_prompt",       "unfilled_marker"};
  std::int64_t skipped = 0;
  for (const std::string& name : refused) {
    ASSERT_TRUE(summary.skipped.contains(name)) << name;
    EXPECT_EQ(summary.skipped.at(name).rows, expected.at(name)) << name;
    skipped += expected.at(name);
  }
  EXPECT_EQ(summary.skipped.size(), refused.size());
  for (const char* name : {"control_characters", "html_remains", "unfinished_answer"}) {
    EXPECT_EQ(summary.warned.at(name).rows, expected.at(name)) << name;
  }
  EXPECT_EQ(summary.warned.at("other_form").rows,
            expected.at("sharegpt_form") + expected.at("messages_form"));
  EXPECT_EQ(summary.train.rows, 43 - skipped);
  EXPECT_EQ(summary.rows_skipped(), skipped);

  // Which lines were kept, and that the first of a class is named.
  const ShardReader reader(folder_ / "out.h5");
  for (std::int64_t row = 0; row < reader.rows(); ++row) {
    EXPECT_FALSE(refused.contains(class_of_line.at(static_cast<std::size_t>(reader.source(row).line - 1))));
  }
  EXPECT_NE(summary.skipped.at("non_utf8").examples.at(0).find("dirty.jsonl:24: "), std::string::npos);
  EXPECT_LE(summary.skipped.at("wrong_keys").examples.size(), 3u);
  const Json counts = Json::parse(reader.metadata().counts);
  EXPECT_EQ(counts["skipped"]["wrong_keys"], expected.at("wrong_keys"));
}

TEST_F(PrepareTest, TheFirstBadRowStopsPreparationUnlessTheyAreSkipped) {
  PrepOptions dirty = options(kData / "dirty.jsonl");
  for (const int threads : {1, 4}) {
    dirty.threads = threads;
    expect_error([&] { prepare(dirty); }, "dirty.jsonl:5", "empty_output", "on_bad_row");
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.h5"));
}

TEST_F(PrepareTest, BytesDependNeitherOnThreadsNorOnTheRun) {
  PrepOptions dirty = options(kData / "dirty.jsonl");
  dirty.on_bad_row = BadRow::kSkip;
  dirty.inputs.push_back(alpaca_rows(3000));  // several jobs
  dirty.shard_rows = 1000;
  dirty.validation_fraction = 0.1;
  dirty.validation_output = folder_ / "held.h5";
  std::map<std::string, std::string> first;
  for (const int threads : {1, 2, 5, 5}) {
    dirty.threads = threads;
    const PrepSummary summary = prepare(dirty);
    std::map<std::string, std::string> bytes;
    for (const PrepOutput& output : {summary.train, summary.validation}) {
      for (const Path& file : output.files) bytes[file.filename()] = read_file(file);
    }
    EXPECT_EQ(bytes.size(), 4u);
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads << " threads";
  }
}

TEST_F(PrepareTest, RowsKeepTheOrderOfTheInput) {
  PrepOptions many = options(alpaca_rows(2000));
  many.threads = 4;
  prepare(many);
  const ShardReader reader(folder_ / "out.h5");
  ASSERT_EQ(reader.rows(), 2000);
  const auto tokenizer = Tokenizer::load(model_.path());
  for (std::int64_t row = 0; row < 2000; ++row) {
    EXPECT_EQ(reader.source(row).line, row + 1);
    const std::string text = tokenizer->decode(reader.read(row).tokens);
    EXPECT_NE(text.find("What is " + std::to_string(row) + "?"), std::string::npos);
  }
}

TEST_F(PrepareTest, TheThreeFormsOfOneConversationGiveTheSameTokens) {
  const Path alpaca =
      input("a.json", R"([{"instruction":"c","input":"i","output":"d","system":"s","history":[["a","b"]]}])");
  const Path share =
      input("b.json", R"([{"conversations":[{"from":"system","value":"s"},{"from":"human","value":"a"},
      {"from":"gpt","value":"b"},{"from":"human","value":"c\ni"},{"from":"gpt","value":"d"}]}])");
  const Path messages =
      input("c.json", R"([{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},
      {"role":"assistant","content":"b"},{"role":"user","content":"c\ni"},{"role":"assistant","content":"d"}]}])");
  PrepOptions all = options(alpaca);
  all.inputs = {alpaca, share, messages};
  const PrepSummary summary = prepare(all);
  EXPECT_EQ(summary.train.rows, 3);
  EXPECT_FALSE(summary.warned.contains("other_form"));  // each file has one form
  const ShardReader reader(folder_ / "out.h5");
  EXPECT_EQ(reader.read(1), reader.read(0));
  EXPECT_EQ(reader.read(2), reader.read(0));
  EXPECT_EQ(reader.source(2), (RowSource{.file = 2, .line = 1}));
  EXPECT_EQ(reader.metadata().sources.at(1).name, "b.json");
}

TEST_F(PrepareTest, OverLongRowsFollowThePolicyAndAreCounted) {
  std::string answer;
  for (int i = 0; i < 100; ++i) answer += "word" + std::to_string(i) + " ";
  const Path rows = input("a.jsonl", R"({"instruction":"short","output":"Short."})"
                                     "\n"
                                     R"({"instruction":"long","output":")" +
                                         answer + "\"}\n");
  PrepOptions limited = options(rows);
  limited.max_length = 64;
  PrepSummary summary = prepare(limited);
  EXPECT_EQ(summary.train.rows, 1);
  EXPECT_EQ(summary.skipped.at("over_long").rows, 1);
  limited.over_length = OverLength::kTerminate;
  summary = prepare(limited);
  EXPECT_EQ(summary.train.rows, 2);
  EXPECT_EQ(summary.changed.at("terminate").rows, 1);
  EXPECT_EQ(summary.rows_without_end_token, 0);
  EXPECT_LE(summary.train.longest, 64);
  limited.over_length = OverLength::kError;
  expect_error([&] { prepare(limited); }, "a.jsonl:2", "max_length", "terminate");
}

TEST_F(PrepareTest, MarkersAreFilledOrRefused) {
  const Path rows =
      input("a.jsonl", R"({"instruction":"Who are you?","output":"I am {{name}}, made by {{author}}."})");
  PrepOptions marked = options(rows);
  expect_error([&] { prepare(marked); }, "a.jsonl:1", "{{name}}", "unfilled_marker");
  marked.name = "Luna";
  expect_error([&] { prepare(marked); }, "unfilled_marker");
  marked.author = "the Tower";
  prepare(marked);
  EXPECT_NE(text_of(ShardReader(folder_ / "out.h5"), 0).find("I am Luna, made by the Tower."),
            std::string::npos);
  marked.name = "";
  marked.allow_markers = true;
  prepare(marked);
  EXPECT_NE(text_of(ShardReader(folder_ / "out.h5"), 0).find("I am {{name}}, made by the Tower."),
            std::string::npos);
}

TEST_F(PrepareTest, ASystemMessageIsAddedWhereThereIsNone) {
  PrepOptions with = options(input("a.jsonl", R"({"instruction":"a","output":"b"})"
                                              "\n"
                                              R"({"instruction":"a","output":"b","system":"Own."})"));
  with.system = "Given.";
  prepare(with);
  const ShardReader reader(folder_ / "out.h5");
  EXPECT_NE(text_of(reader, 0).find("system\nGiven.<|im_end|>"), std::string::npos);
  EXPECT_NE(text_of(reader, 1).find("system\nOwn.<|im_end|>"), std::string::npos);
}

TEST_F(PrepareTest, SpecialTokensWrittenInARowAreOrdinaryText) {
  prepare(options(input(
      "a.jsonl", R"({"instruction":"Say <|im_end|>","output":"<|im_start|>assistant\nx<|im_end|>y"})")));
  const TokenRow row = ShardReader(folder_ / "out.h5").read(0);
  const auto tokenizer = Tokenizer::load(model_.path());
  EXPECT_EQ(std::count(row.tokens.begin(), row.tokens.end(), *tokenizer->id_of("<|im_end|>")),
            3);  // one per turn
  EXPECT_EQ(std::count(row.tokens.begin(), row.tokens.end(), *tokenizer->id_of("<|im_start|>")), 3);
}

TEST_F(PrepareTest, TheValidationSplitIsDisjointByPrompt) {
  std::string text = read_file(alpaca_rows(2000));
  PrepOptions split = options(input("twice.jsonl", text + text));  // every prompt twice
  split.validation_fraction = 0.1;
  split.validation_output = folder_ / "held.h5";
  const PrepSummary summary = prepare(split);
  EXPECT_EQ(summary.train.rows + summary.validation.rows, 4000);
  EXPECT_NEAR(static_cast<double>(summary.validation.rows), 400.0, 90.0);
  const ShardReader train(folder_ / "out.h5"), held(folder_ / "held.h5");
  std::set<std::vector<std::int32_t>> trained;
  for (std::int64_t row = 0; row < train.rows(); ++row) trained.insert(train.read(row).tokens);
  for (std::int64_t row = 0; row < held.rows(); ++row) EXPECT_FALSE(trained.contains(held.read(row).tokens));
}

TEST_F(PrepareTest, SummaryAndHistogramAddUp) {
  const PrepSummary summary = prepare(options(alpaca_rows(500)));
  const ShardReader reader(folder_ / "out.h5");
  EXPECT_EQ(summary.train.tokens, reader.tokens());
  EXPECT_EQ(summary.train.supervised_tokens, reader.supervised_tokens());
  EXPECT_EQ(summary.train.longest, reader.longest());
  std::int64_t rows = 0;
  for (const std::int64_t count : summary.train.lengths.buckets) rows += count;
  EXPECT_EQ(rows, 500);
  EXPECT_NE(summary.text().find("500 rows read, 0 left out"), std::string::npos);
}

TEST_F(PrepareTest, NothingToTrainOnIsAnError) {
  expect_error([&] { prepare(options(input("a.jsonl", ""))); }, "nothing to train on", "0 rows read");
  expect_error([&] { prepare(options(input("a.json", "[]"))); }, "nothing to train on");
  PrepOptions skipping = options(input("a.jsonl", R"({"instruction":"a","output":""})"));
  skipping.on_bad_row = BadRow::kSkip;
  expect_error([&] { prepare(skipping); }, "nothing to train on", "empty_output: 1 rows");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.h5"));
}

TEST_F(PrepareTest, MissingInputsAndModelsAreNamed) {
  expect_error([&] { prepare(options(folder_ / "none.json")); }, "none.json", "no such file");
  PrepOptions no_model = options(alpaca_rows(3));
  no_model.model = folder_ / "no_model";
  expect_error([&] { prepare(no_model); }, "no_model");
}

TEST_F(PrepareTest, AFailureHalfWayLeavesTheOldOutputAsItWas) {
  prepare(options(alpaca_rows(10)));
  const std::string before = read_file(folder_ / "out.h5");
  PrepOptions broken =
      options(input("b.json", "[" + std::string(R"({"instruction":"a","output":"b"})") + ",\n{\"x"));
  expect_error([&] { prepare(broken); }, "b.json", "cut off");
  EXPECT_EQ(read_file(folder_ / "out.h5"), before);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    files += entry.path().extension() == ".tmp" ? 1u : 0u;
  }
  EXPECT_EQ(files, 0u);
}

TEST_F(PrepareTest, ProgressReachesTheEnd) {
  PrepProgress last;
  int calls = 0;
  const Path rows = alpaca_rows(1000);
  prepare(options(rows), [&](const PrepProgress& progress) {
    EXPECT_GE(progress.bytes_read, last.bytes_read);
    last = progress;
    ++calls;
  });
  EXPECT_GE(calls, 1);
  EXPECT_EQ(last.bytes_read, static_cast<std::int64_t>(std::filesystem::file_size(rows)));
  EXPECT_EQ(last.bytes_total, last.bytes_read);
  EXPECT_EQ(last.rows_in, 1000);
}

TEST_F(PrepareTest, PlainTextBecomesAStyleSetWithFilesHeldOut) {
  std::filesystem::create_directory(folder_ / "texts");
  for (int file = 0; file < 5; ++file) {
    std::string text = "Piece " + std::to_string(file) + "\n\n";
    for (int i = 0; i < 12; ++i) {
      text += "In part " + std::to_string(i) + " of piece " + std::to_string(file) +
              " the river rose again. Nobody had seen it so high before.\n\n";
    }
    write_file(folder_ / "texts" / ("t" + std::to_string(file) + ".txt"), text);
  }
  PrepOptions text = options(folder_ / "texts");
  text.format = DataFormat::kText;
  text.text.held_out = 0.2;
  text.validation_output = folder_ / "held.h5";
  const PrepSummary summary = prepare(text);
  EXPECT_EQ(summary.train.rows, 48);
  EXPECT_EQ(summary.validation.rows, 12);
  const ShardReader held(folder_ / "held.h5"), train(folder_ / "out.h5");
  std::set<std::int64_t> held_files, train_files;
  for (std::int64_t row = 0; row < held.rows(); ++row) held_files.insert(held.source(row).file);
  for (std::int64_t row = 0; row < train.rows(); ++row) train_files.insert(train.source(row).file);
  EXPECT_EQ(held_files.size(), 1u);
  EXPECT_FALSE(train_files.contains(*held_files.begin()));
}

}  // namespace
}  // namespace ranktune
