#include "data/sample_order.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "support/expect_error.h"

namespace ranktune {
namespace {

std::vector<std::int64_t> epoch_of(const SampleOrder& order, std::int64_t epoch) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < order.rows(); ++i) rows.push_back(order.row(epoch * order.rows() + i));
  return rows;
}

TEST(SampleOrder, EveryEpochHoldsEveryRowOnce) {
  for (const std::int64_t rows : {1, 2, 3, 7, 64, 1000, 1025}) {
    const SampleOrder order(rows, 42);
    for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
      const auto all = epoch_of(order, epoch);
      const std::set<std::int64_t> distinct(all.begin(), all.end());
      EXPECT_EQ(distinct.size(), static_cast<std::size_t>(rows));
      EXPECT_EQ(*distinct.begin(), 0);
      EXPECT_EQ(*distinct.rbegin(), rows - 1);
    }
  }
}

TEST(SampleOrder, EpochsAndSeedsDifferAndRepeat) {
  const SampleOrder order(500, 42);
  EXPECT_NE(epoch_of(order, 0), epoch_of(order, 1));
  EXPECT_NE(epoch_of(order, 0), epoch_of(SampleOrder(500, 43), 0));
  EXPECT_EQ(epoch_of(order, 3), epoch_of(SampleOrder(500, 42), 3));
  EXPECT_EQ(order.epoch(499), 0);
  EXPECT_EQ(order.epoch(500), 1);
}

TEST(SampleOrder, UnshuffledIsTheOrderOfTheFile) {
  const SampleOrder order(5, 42, false);
  for (std::int64_t position = 0; position < 15; ++position) EXPECT_EQ(order.row(position), position % 5);
}

TEST(SampleOrder, RefusesNoRowsAndNegativePositions) {
  expect_error([] { SampleOrder(0, 1); }, "at least one row");
  expect_error([] { SampleOrder(3, 1).row(-1); }, "-1");
}

}  // namespace
}  // namespace ranktune
