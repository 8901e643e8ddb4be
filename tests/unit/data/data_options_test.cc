#include "data/data_options.h"

#include <gtest/gtest.h>

#include <functional>

#include "support/expect_error.h"

namespace ranktune {
namespace {

PrepOptions sound() {
  PrepOptions options;
  options.inputs = {"a.json"};
  options.output = "a.h5";
  options.model = "model";
  return options;
}

TEST(DataOptions, NamesGoBothWays) {
  for (const char* name : {"auto", "alpaca", "sharegpt", "messages", "text"}) {
    EXPECT_EQ(name_of(parse_data_format(name)), name);
  }
  for (const char* name : {"drop", "split", "keep_end", "terminate", "error"}) {
    EXPECT_EQ(name_of(parse_over_length(name)), name);
  }
  for (const char* name : {"error", "skip"}) EXPECT_EQ(name_of(parse_bad_row(name)), name);
  expect_error([] { parse_over_length("keepend"); }, "keepend", "did you mean \"keep_end\"", "terminate");
  expect_error([] { parse_data_format("xyz"); }, "xyz", "alpaca, sharegpt");
}

TEST(DataOptions, SoundOnesPass) {
  EXPECT_NO_THROW(sound().check());
  PrepOptions split = sound();
  split.validation_fraction = 0.1;
  split.validation_output = "b.h5";
  EXPECT_NO_THROW(split.check());
}

TEST(DataOptions, EachRangeAndCombinationIsChecked) {
  const auto refused = [](const std::function<void(PrepOptions&)>& change, const char* part) {
    PrepOptions options = sound();
    change(options);
    expect_error([&] { options.check(); }, part);
  };
  refused([](auto& o) { o.inputs.clear(); }, "no input");
  refused([](auto& o) { o.output = "a.hdf"; }, "NAME.h5");
  refused([](auto& o) { o.model = ""; }, "model folder");
  refused([](auto& o) { o.max_length = 7; }, "max_length = 7");
  refused([](auto& o) { o.compression = 10; }, "compression = 10");
  refused([](auto& o) { o.threads = -1; }, "threads = -1");
  refused([](auto& o) { o.shard_tokens = 100; }, "shard_tokens = 100");
  refused([](auto& o) { o.shard_rows = -1; }, "shard_rows = -1");
  refused([](auto& o) { o.validation_fraction = 0.6; }, "validation_fraction = 0.6");
  refused([](auto& o) { o.validation_fraction = 0.1; }, "needs a validation output");
  refused([](auto& o) { o.validation_output = "b.h5"; }, "validation fraction");
  refused(
      [](auto& o) {
        o.validation_fraction = 0.1;
        o.validation_output = "./a.h5";
      },
      "both");
  refused(
      [](auto& o) {
        o.format = DataFormat::kText;
        o.text.passage_min = 500;
      },
      "passage_min = 500");
}

}  // namespace
}  // namespace ranktune
