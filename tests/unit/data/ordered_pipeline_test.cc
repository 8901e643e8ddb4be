#include "data/ordered_pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/error.h"
#include "base/random.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

using Pipeline = OrderedPipeline<int, int>;

Pipeline::Produce numbers(int count) {
  return [count, next = 0]() mutable -> std::optional<int> {
    if (next == count) return std::nullopt;
    return next++;
  };
}

/// Squares; small pseudo-random delays mix the order in which jobs end.
int square(int job) {
  std::this_thread::sleep_for(std::chrono::microseconds(mix64(static_cast<std::uint64_t>(job)) % 200));
  return job * job;
}

TEST(OrderedPipeline, ResultsComeInTheOrderOfTheJobs) {
  for (const std::size_t threads : {1u, 2u, 7u}) {
    std::vector<int> results;
    Pipeline(threads, 5)
        .run(
            numbers(500), [] { return square; }, [&](int r) { results.push_back(r); });
    ASSERT_EQ(results.size(), 500u);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i * i);
  }
}

TEST(OrderedPipeline, NoMoreJobsThanAllowedAreUnderWay) {
  std::atomic<int> produced = 0;
  int taken = 0, most = 0;
  const auto produce = [&, next = 0]() mutable -> std::optional<int> {
    if (next == 200) return std::nullopt;
    ++produced;
    return next++;
  };
  Pipeline(3, 6).run(
      produce, [] { return square; },
      [&](int) {
        most = std::max(most, produced.load() - taken);
        ++taken;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      });
  EXPECT_EQ(taken, 200);
  EXPECT_LE(most, 8);  // six, the one being made and the one being taken
}

TEST(OrderedPipeline, ErrorsOfEachPartComeOutAtTheirPlaceAndEverythingEnds) {
  int taken = 0;
  const auto count = [&](int) { ++taken; };
  const auto failing_producer = [next = 0]() mutable -> std::optional<int> {
    require(next < 10, "producer broke");
    return next++;
  };
  expect_error(
      [&] {
        Pipeline(3, 4).run(
            failing_producer, [] { return square; }, count);
      },
      "producer broke");
  EXPECT_EQ(taken, 10);

  taken = 0;
  const auto failing_work = [](int job) {
    require(job % 20 != 13, "job {} broke", job);
    return square(job);
  };
  expect_error(
      [&] {
        Pipeline(4, 40).run(
            numbers(100), [&] { return failing_work; }, count);
      },
      "job 13 broke");
  EXPECT_EQ(taken, 13);

  const auto failing_maker = []() -> Pipeline::Work { fail("no worker"); };
  expect_error([&] { Pipeline(2, 4).run(numbers(100), failing_maker, count); }, "no worker");

  expect_error(
      [&] {
        Pipeline(2, 4).run(
            numbers(100), [] { return square; }, [](int) { fail("taker broke"); });
      },
      "taker broke");
}

TEST(OrderedPipeline, NoJobsAtAll) {
  int taken = 0;
  Pipeline(2, 4).run(
      numbers(0), [] { return square; }, [&](int) { ++taken; });
  EXPECT_EQ(taken, 0);
}

}  // namespace
}  // namespace ranktune
