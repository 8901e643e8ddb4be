#include "data/step_batch.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/random.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

StepBatch sample_batch() {
  StepBatch batch;
  batch.step = 7;
  batch.epoch = 1;
  batch.first_position = 14;
  batch.slots.push_back(
      {.tokens = {5, 6, 7, 8, 9}, .loss_mask = {1, 1, 0, 0, 1}, .boundaries = {0, 3, 5}, .rows = {3, 0}});
  batch.slots.push_back({.tokens = {1, 2}, .loss_mask = {1, 1}, .boundaries = {0, 1, 2}, .rows = {4, 8}});
  batch.tokens = 7;
  batch.supervised_tokens = 2;
  return batch;
}

TEST(StepBatch, AMarkOnTheFirstTokenOfAnExampleIsNoPrediction) {
  const StepBatch batch = sample_batch();
  // Slot 0: marks at 0 (first of example 0), 1 and 4; slot 1: two examples of one token each.
  EXPECT_EQ(batch.slots[0].supervised_tokens(), 2);
  EXPECT_EQ(batch.slots[1].supervised_tokens(), 0);
  EXPECT_EQ(batch.examples(), 4);
}

TEST(StepBatch, RoundTrip) {
  const StepBatch batch = sample_batch();
  EXPECT_EQ(deserialise_step_batch(serialise(batch)), batch);
  StepBatch empty;
  EXPECT_EQ(deserialise_step_batch(serialise(empty)), empty);
}

TEST(StepBatch, EveryTruncationIsRefused) {
  const auto bytes = serialise(sample_batch());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(deserialise_step_batch(std::span(bytes).first(size)), Error) << size;
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  expect_error([&] { deserialise_step_batch(longer); }, "1 bytes too many");
}

TEST(StepBatch, DamagedBytesAreRefusedOrYieldASoundBatch) {
  const auto bytes = serialise(sample_batch());
  std::size_t refused = 0;
  for (std::uint64_t trial = 0; trial < 20000; ++trial) {
    const CounterRandom random(trial);
    auto damaged = bytes;
    for (std::uint64_t i = 0; i <= random.bits(0) % 3; ++i) {
      damaged[random.bits(2 * i + 1) % damaged.size()] =
          static_cast<std::byte>(random.bits(2 * i + 2) & 0xFF);
    }
    try {
      const StepBatch batch = deserialise_step_batch(damaged);
      EXPECT_EQ(deserialise_step_batch(serialise(batch)), batch);
      for (const Slot& slot : batch.slots)
        EXPECT_EQ(slot.boundaries.back(), static_cast<int>(slot.tokens.size()));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 5000u);
}

TEST(StepBatch, AnAbsurdCountIsRefusedBeforeAnythingIsAllocated) {
  auto bytes = serialise(sample_batch());
  const std::int64_t huge = std::int64_t{1} << 60;
  std::memcpy(bytes.data() + 56, &huge, sizeof huge);  // tokens of slot 0
  expect_error([&] { deserialise_step_batch(bytes); }, "do not fit");
}

}  // namespace
}  // namespace ranktune
