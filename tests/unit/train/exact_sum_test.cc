#include "train/exact_sum.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(ExactSum, KeepsALossToItsRounding) {
  for (const double loss : {0.0, 1e-6, 0.69314718, 12345.678, 4e9})
    EXPECT_NEAR(loss_from_fixed(loss_to_fixed(loss)), loss, 0x1p-31);
}

TEST(ExactSum, DoesNotDependOnTheOrder) {
  // In floating point the small one is lost when it is added to the large one first.
  const double large = 4e9, small = 1e-8;
  const std::int64_t forward = loss_to_fixed(large) + loss_to_fixed(small) - loss_to_fixed(large);
  EXPECT_EQ(forward, loss_to_fixed(small));
  EXPECT_GT(forward, 0);
}

TEST(ExactSum, WhatCannotBeSummedIsRefused) {
  for (const double loss :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 0x1p32, -0x1p32}) {
    EXPECT_FALSE(is_countable_loss(loss));
    expect_error([&] { loss_to_fixed(loss); }, "cannot be summed");
  }
  EXPECT_TRUE(is_countable_loss(0x1.fp31));
}

}  // namespace
}  // namespace ranktune
