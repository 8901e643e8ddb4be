#include "data/describe.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "data/prepare.h"
#include "sample_rows.h"
#include "support/expect_error.h"
#include "unit/text/model_folder.h"

namespace ranktune {
namespace {

class DescribeTest : public ::testing::Test {
 protected:
  DescribeTest() : model_("smollm2"), tokenizer_(Tokenizer::load(model_.path())) {
    write_file(folder_ / "rows.jsonl",
               "{\"instruction\":\"Name a colour.\",\"output\":\"Blue.\"}\n"
               "{\"instruction\":\"问\",\"output\":\"答。\"}\n");
    PrepOptions options;
    options.inputs = {folder_ / "rows.jsonl"};
    options.output = folder_ / "out.h5";
    options.model = model_.path();
    prepare(options);
    reader_.emplace(folder_ / "out.h5");
  }
  ModelFolder model_;
  TempDir folder_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::optional<ShardReader> reader_;
};

TEST_F(DescribeTest, FactsAndMarkedRows) {
  const std::string text = describe_data(*reader_, tokenizer_.get(), {.rows = {0, 1}});
  for (const std::string& part :
       {std::string("rows        2"), "tokens      " + std::to_string(reader_->tokens()), reader_->set_hash(),
        tokenizer_->fingerprint(), std::string("rows.jsonl"), std::string("<|im_end|>"),
        std::string("row 1 (rows.jsonl:2)"),
        std::string("Name a colour.<|im_end|>\n<|im_start|>assistant\n«Blue.<|im_end|>»"),
        std::string("«答。<|im_end|>»"), std::string("█")}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST_F(DescribeTest, ColoursOnlyWhenAsked) {
  const std::string text = describe_data(*reader_, tokenizer_.get(), {.rows = {0}, .colours = true});
  EXPECT_NE(text.find("\x1b[32mBlue.<|im_end|>\x1b[0m"), std::string::npos);
}

TEST_F(DescribeTest, WithoutATokenizerIdsAreShown) {
  const std::string text = describe_data(*reader_, nullptr, {.rows = {0}});
  EXPECT_NE(text.find("1 9690 198"), std::string::npos) << text;
}

TEST_F(DescribeTest, TheJsonFormHoldsTheSameFacts) {
  const Json json = Json::parse(describe_data_json(*reader_, tokenizer_.get(), {.rows = {1}}));
  EXPECT_EQ(json["rows"], 2);
  EXPECT_EQ(json["tokens"], reader_->tokens());
  EXPECT_EQ(json["metadata"]["tokenizer_fingerprint"], tokenizer_->fingerprint());
  EXPECT_EQ(json["metadata"]["counts"]["rows_in"], 2);
  EXPECT_EQ(json["shown"][0]["tokens"].get<std::vector<std::int32_t>>(), reader_->read(1).tokens);
  EXPECT_EQ(json["shown"][0]["runs"][1]["text"], "答。<|im_end|>");
  std::int64_t rows = 0;
  for (const Json& count : json["histogram"]["rows"]) rows += count.get<std::int64_t>();
  EXPECT_EQ(rows, 2);
}

TEST_F(DescribeTest, AnotherTokenizerAndMissingRowsAreRefused) {
  write_sample(folder_ / "other.h5", 3);
  const ShardReader other(folder_ / "other.h5");
  expect_error([&] { describe_data(other, tokenizer_.get(), {}); }, "other.h5", "another tokenizer");
  expect_error([&] { describe_data(*reader_, nullptr, {.rows = {2}}); }, "row 2 does not exist");
  expect_error([&] { describe_data(*reader_, nullptr, {.rows = {}, .colours = false, .width = 5}); },
               "5 columns");
}

}  // namespace
}  // namespace ranktune
