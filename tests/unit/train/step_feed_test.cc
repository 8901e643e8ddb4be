#include "train/step_feed.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "comm/collectives.h"
#include "support/expect_error.h"
#include "support/lone_communicator.h"

namespace ranktune {
namespace {

StepBatch batch_of(std::int64_t step) {
  StepBatch batch;
  batch.step = step;
  batch.slots.push_back({.tokens = {1, 2, static_cast<std::int32_t>(step)},
                         .loss_mask = {0, 1, 1},
                         .boundaries = {0, 3},
                         .rows = {step}});
  batch.supervised_tokens = 2;
  batch.tokens = 3;
  return batch;
}

StepFeed feed(StepFeed::Source source, std::int64_t first, std::int64_t last) {
  return StepFeed({.communicator = std::make_unique<LoneCommunicator>(),
                   .source = std::move(source),
                   .first_step = first,
                   .last_step = last});
}

TEST(StepFeed, DeliversTheBatchesInOrder) {
  StepFeed steps = feed(batch_of, 3, 8);
  for (std::int64_t step = 3; step < 8; ++step) EXPECT_EQ(steps.next(), batch_of(step));
  expect_error([&] { steps.next(); }, "the data feed has ended");
}

TEST(StepFeed, ReadsAheadButNotWithoutEnd) {
  std::atomic<int> made = 0;
  StepFeed steps = feed([&](std::int64_t step) { return ++made, batch_of(step); }, 0, 100);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (made < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(made, 3);  // two are ready, one waits for its place
  EXPECT_LT(steps.wait_seconds(), 1e-9);
}

TEST(StepFeed, AnErrorOfTheSourceComesAfterTheGoodBatches) {
  StepFeed steps = feed(
      [](std::int64_t step) {
        require(step < 2, "row {} is damaged", step);
        return batch_of(step);
      },
      0, 5);
  EXPECT_EQ(steps.next().step, 0);
  EXPECT_EQ(steps.next().step, 1);
  EXPECT_THROW(steps.next(), AgreedError);  // rank 0 told all
  expect_error([&] { steps.next(); }, "row 2 is damaged");
}

TEST(StepFeed, MayBeLeftAtAnyMoment) {
  for (int taken = 0; taken < 4; ++taken) {
    StepFeed steps = feed(batch_of, 0, 1000);
    for (int i = 0; i < taken; ++i) steps.next();
  }
}

TEST(StepFeed, CountsTheTimeThatTrainingWaited) {
  StepFeed steps = feed(
      [](std::int64_t step) {
        std::this_thread::sleep_for(std::chrono::milliseconds(step == 0 ? 500 : 0));
        return batch_of(step);
      },
      0, 3);
  steps.next();
  EXPECT_GT(steps.wait_seconds(), 0.04);
  EXPECT_LT(steps.wait_seconds(), 20.0);
}

}  // namespace
}  // namespace ranktune
