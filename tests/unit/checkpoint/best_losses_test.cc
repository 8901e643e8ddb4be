#include "checkpoint/best_losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ranktune {
namespace {

using testing::ElementsAre;

TEST(BestLosses, SaysWhatIsAmongTheLowest) {
  BestLosses two(2);
  EXPECT_FALSE(two.lowest());
  EXPECT_TRUE(two.add(3.0));
  EXPECT_TRUE(two.add(4.0));
  EXPECT_FALSE(two.add(5.0));
  EXPECT_FALSE(two.add(4.0)) << "of equal ones the earlier stays";
  EXPECT_TRUE(two.add(3.5));
  EXPECT_TRUE(two.add(1.0));
  EXPECT_THAT(two.losses(), ElementsAre(1.0, 3.0));
  EXPECT_EQ(two.lowest(), 1.0);
}

TEST(BestLosses, WithoutAnyToKeepTheLowestIsKnown) {
  BestLosses none(0);
  EXPECT_FALSE(none.add(2.0));
  EXPECT_FALSE(none.add(1.0));
  EXPECT_FALSE(none.add(3.0));
  EXPECT_EQ(none.lowest(), 1.0);
}

TEST(BestLosses, WhatIsNoNumberNeverCounts) {
  BestLosses one(1);
  EXPECT_FALSE(one.add(NAN));
  EXPECT_FALSE(one.add(INFINITY));
  EXPECT_FALSE(one.lowest());
  EXPECT_TRUE(one.add(7.0));
}

}  // namespace
}  // namespace ranktune
