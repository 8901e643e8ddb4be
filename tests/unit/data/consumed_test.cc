#include "data/consumed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/sample_order.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kRows = 10;
constexpr std::int64_t kPerStep = 4;

/// The ledger of `steps` steps, each with its rows in two slots as packing might lay them.
class Ledger {
 public:
  explicit Ledger(std::int64_t steps) {
    const SampleOrder order(kRows, 7);
    for (std::int64_t step = 0; step < steps; ++step) {
      StepBatch batch;
      batch.step = step;
      batch.slots.resize(2);
      for (std::int64_t i = kPerStep - 1; i >= 0; --i)
        batch.slots[static_cast<std::size_t>(i % 2)].rows.push_back(order.row(step * kPerStep + i));
      lines_.push_back(ledger_record(batch, kRows, step == 2));
    }
  }
  OrderedJson& line(std::int64_t step) { return lines_.at(static_cast<std::size_t>(step - 1)); }
  void erase(std::int64_t step) { lines_.erase(lines_.begin() + step - 1); }
  void swap_rows(std::int64_t a, std::size_t i, std::int64_t b, std::size_t j) {
    std::swap(line(a)["rows"][i], line(b)["rows"][j]);
  }

  ConsumedReport check() const {
    std::string text;
    for (const OrderedJson& line : lines_) text += line.dump() + "\n";
    write_file(folder_ / "consumed.jsonl", text);
    return check_consumed(folder_ / "consumed.jsonl", {.seed = 7, .sequences_per_step = kPerStep});
  }

 private:
  TempDir folder_;
  std::vector<OrderedJson> lines_;
};

TEST(Consumed, EveryRowOnceAnEpochIsProved) {
  const ConsumedReport report = Ledger(7).check();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.steps, 7);
  EXPECT_EQ(report.examples, 28);
  EXPECT_EQ(report.skipped, 1);
  EXPECT_EQ(report.rows_of_set, kRows);
  ASSERT_EQ(report.epochs.size(), 3u);  // steps 3 and 5 cross or end epochs
  EXPECT_TRUE(report.epochs[0].whole);
  EXPECT_TRUE(report.epochs[1].whole);
  EXPECT_EQ(report.epochs[2].rows, 8);
  EXPECT_FALSE(report.epochs[2].whole);
}

TEST(Consumed, AnEpochThatEndsWithAStepIsWhole) {
  const ConsumedReport report = Ledger(5).check();
  ASSERT_EQ(report.epochs.size(), 2u);
  EXPECT_TRUE(report.epochs[1].whole);
}

TEST(Consumed, WhatIsMissingOrStandsTwiceIsNamed) {
  Ledger gap(6);
  gap.erase(4);
  EXPECT_THAT(gap.check().problems,
              ElementsAre(HasSubstr("step 5 follows step 3: steps between them are missing")));
  Ledger twice(6);
  twice.line(4)["step"] = 3;
  EXPECT_THAT(twice.check().problems, ElementsAre(HasSubstr("step 3 follows step 3: it stands there again")));

  Ledger again(6);
  const auto row = again.line(1)["rows"][0];
  again.line(2)["rows"][1] = row;
  EXPECT_THAT(again.check().problems,
              ElementsAre(HasSubstr(fmt::format("epoch 0, step 2: row {} came a second time", row.dump()))));

  Ledger absent(6);
  const auto lost = SampleOrder(kRows, 7).row(9);
  for (auto& each : absent.line(3)["rows"])
    if (each == lost) each = (lost + 1) % kRows;
  EXPECT_THAT(absent.check().problems,
              ElementsAre(HasSubstr(fmt::format("epoch 0, step 3: row {} did not come", lost))));

  Ledger other_set(6);
  other_set.line(4)["of"] = 11;
  EXPECT_THAT(other_set.check().problems, ElementsAre(HasSubstr("a data set of 11 rows")));
}

TEST(Consumed, RowsMustBeThoseOfTheSeedsOrder) {
  Ledger swapped(6);
  swapped.swap_rows(1, 0, 2, 0);  // still every row once
  EXPECT_THAT(swapped.check().problems, ElementsAre("step 1 trained on other rows than seed 7 gives it"));
}

TEST(Consumed, WhatIsNoLedgerIsRefused) {
  const TempDir folder;
  const Path file = folder / "consumed.jsonl";
  const auto refused = [&](const char* text, const auto&... parts) {
    write_file(file, text);
    expect_error([&] { check_consumed(file, {.seed = 7, .sequences_per_step = 4}); }, parts...);
  };
  refused("", "consumed.jsonl holds no step");
  refused("nonsense\n", "consumed.jsonl:1");
  refused("{\"step\":1,\"of\":4,\"rows\":[4]}\n", "consumed.jsonl:1: row 4 is not one of 4");
  refused("{\"step\":1,\"of\":0,\"rows\":[]}\n", "consumed.jsonl:1", "0 rows");
  refused("{\"step\":1,\"rows\":[]}\n", "\"of\" is missing");
  write_file(file,
             "{\"step\":1,\"of\":4000000000000000000,\"rows\":[3]}\n");  // no memory for what is only claimed
  EXPECT_THAT(check_consumed(file, {.seed = 7, .sequences_per_step = 1}).problems,
              ElementsAre(HasSubstr("other rows than seed 7")));
  expect_error([&] { check_consumed(folder / "none", {.seed = 7, .sequences_per_step = 1}); }, "none");
}

TEST(Consumed, TheTallyTellsStepsApart) {
  Slot a, b, c;
  a.rows = {1, 2};
  b.rows = {3};
  c.rows = {1, 3};
  RowTally ab, ba, ac;
  ab.add(a), ab.add(b);
  ba.add(b), ba.add(a);
  ac.add(a), ac.add(c);
  EXPECT_EQ(ab, ba);
  EXPECT_EQ(ab.examples, 3);
  EXPECT_NE(ab, ac);
  EXPECT_EQ(tally_of({.slots = {a, b}}), ab);
}

}  // namespace
}  // namespace ranktune
