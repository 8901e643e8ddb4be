#include "data/step_stream.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "data/sample_order.h"
#include "sample_rows.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

class StepStreamTest : public ::testing::Test {
 protected:
  StepStreamTest() {
    write_sample(folder_ / "set.h5", 53);
    reader_.emplace(folder_ / "set.h5");
  }
  StepStreamOptions options(std::int64_t start = 0) const {
    return {.seed = 11, .sequences_per_step = 8, .tokens_per_slot = 100, .start_step = start};
  }
  TempDir folder_;
  std::optional<ShardReader> reader_;
};

TEST_F(StepStreamTest, BatchesHoldTheRowsOfTheOrderUnchanged) {
  StepStream stream(*reader_, options());
  const SampleOrder order(53, 11);
  for (std::int64_t step = 0; step < 20; ++step) {
    const StepBatch batch = *stream.next();
    EXPECT_EQ(batch.step, step);
    EXPECT_EQ(batch.first_position, step * 8);
    EXPECT_EQ(batch.epoch, step * 8 / 53);
    std::multiset<std::int64_t> expected, found;
    for (std::int64_t i = 0; i < 8; ++i) expected.insert(order.row(step * 8 + i));
    std::int64_t tokens = 0;
    for (const Slot& slot : batch.slots) {
      EXPECT_LE(slot.tokens.size(), 100u);
      tokens += static_cast<std::int64_t>(slot.tokens.size());
      for (std::size_t i = 0; i < slot.rows.size(); ++i) {
        found.insert(slot.rows[i]);
        const TokenRow row = sample_row(slot.rows[i]);
        const auto begin = slot.boundaries[i], end = slot.boundaries[i + 1];
        EXPECT_EQ(std::vector<std::int32_t>(slot.tokens.begin() + begin, slot.tokens.begin() + end),
                  row.tokens);
        EXPECT_EQ(std::vector<std::uint8_t>(slot.loss_mask.begin() + begin, slot.loss_mask.begin() + end),
                  row.loss_mask);
      }
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ(batch.tokens, tokens);
    EXPECT_EQ(deserialise_step_batch(serialise(batch)), batch);
  }
}

TEST_F(StepStreamTest, SeekingEqualsGoingThere) {
  StepStream sequential(*reader_, options());
  std::vector<StepBatch> batches;
  for (int i = 0; i < 15; ++i) batches.push_back(*sequential.next());
  StepStream late(*reader_, options(9));
  EXPECT_EQ(*late.next(), batches[9]);
  EXPECT_EQ(*late.next(), batches[10]);
  late.seek(2);
  EXPECT_EQ(*late.next(), batches[2]);
  EXPECT_EQ(late.batch(14), batches[14]);
}

TEST_F(StepStreamTest, AnEpochSeesEveryRowOnce) {
  const StepStream stream(*reader_, options());
  std::map<std::int64_t, int> seen;
  std::int64_t position = 0;
  for (std::int64_t step = 0; position < 2 * 53; ++step) {
    const StepBatch batch = stream.batch(step);
    for (const Slot& slot : batch.slots) {
      for (const std::int64_t row : slot.rows) seen[row] += 1;
    }
    position += 8;
  }
  // 14 steps of 8 = 112 positions: two whole epochs and the first six rows of the third.
  EXPECT_EQ(seen.size(), 53u);
  std::int64_t total = 0;
  for (const auto& [row, count] : seen) {
    EXPECT_TRUE(count == 2 || count == 3);
    total += count;
  }
  EXPECT_EQ(total, 112);
}

TEST_F(StepStreamTest, StepsForEpochs) {
  const StepStream stream(*reader_, options());
  EXPECT_EQ(stream.steps_per_epoch(), 7);  // 53 / 8 = 6.6
  EXPECT_EQ(stream.steps_for(3.0), 20);    // 159 / 8 = 19.9
  EXPECT_EQ(stream.steps_for(0.01), 1);
  expect_error([&] { stream.steps_for(0.0); }, "train.epochs");
}

TEST_F(StepStreamTest, OneEpochKeepsOrderAndTheSmallerLastBatch) {
  StepStream stream(*reader_,
                    {.sequences_per_step = 10, .tokens_per_slot = 700, .shuffle = false, .one_epoch = true});
  std::int64_t expected = 0, batches = 0;
  while (const auto batch = stream.next()) {
    ++batches;
    ASSERT_EQ(batch->slots.size(), 1u);
    for (const std::int64_t row : batch->slots[0].rows) EXPECT_EQ(row, expected++);
  }
  EXPECT_EQ(expected, 53);
  EXPECT_EQ(batches, 6);
  expect_error([&] { stream.batch(6); }, "step 6");
}

TEST_F(StepStreamTest, ARowLongerThanASlotIsRefusedAtOnce) {
  StepStreamOptions small = options();
  small.tokens_per_slot = 30;
  expect_error([&] { StepStream(*reader_, small); }, "tokens_per_slot = 30", "max_length");
}

}  // namespace
}  // namespace ranktune
