#include "comm/device_plan.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(ChooseGpu, IsTheLocalRankWhereAllGpusAreVisible) {
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(choose_gpu({.local_rank = rank, .local_size = 4, .visible_devices = 4}), rank);
    EXPECT_EQ(choose_gpu({.local_rank = rank, .local_size = 4, .visible_devices = 8}), rank);
  }
}

TEST(ChooseGpu, IsTheOnlyOneWhereTheLauncherGaveEachRankItsOwn) {
  EXPECT_EQ(choose_gpu({.local_rank = 3, .local_size = 4, .visible_devices = 1}), 0);
}

TEST(ChooseGpu, RefusesTooFewUnlessSharingIsAllowed) {
  expect_error([] { choose_gpu({.local_rank = 0, .local_size = 3, .visible_devices = 2}); }, "3 ranks",
               "2 GPUs visible", "--ntasks-per-node", "comm.share_gpu");
  EXPECT_EQ(choose_gpu({.local_rank = 2, .local_size = 3, .visible_devices = 2, .share_gpu = true}), 0);
  EXPECT_EQ(choose_gpu({.local_rank = 1, .local_size = 3, .visible_devices = 2, .share_gpu = true}), 1);
}

TEST(ChooseGpu, RefusesNone) {
  expect_error([] { choose_gpu({.local_rank = 1, .local_size = 2, .visible_devices = 0}); }, "local rank 1",
               "no GPU", "CUDA_VISIBLE_DEVICES");
  expect_error([] { choose_gpu({.visible_devices = 0, .share_gpu = true}); }, "no GPU");
}

TEST(GpusAreShared, ComparesPhysicalDevicesPerHost) {
  // The same identity on two hosts is two devices.
  const std::vector<GpuClaim> apart = {{"n1", "aa"}, {"n1", "bb"}, {"n2", "aa"}};
  EXPECT_FALSE(gpus_are_shared(apart, false));
  const std::vector<GpuClaim> together = {{"n1", "aa"}, {"n2", "bb"}, {"n2", "cc"}, {"n2", "bb"}};
  expect_error([&] { gpus_are_shared(together, false); }, "ranks 1 and 3", "host n2", "bb", "comm.share_gpu");
  EXPECT_TRUE(gpus_are_shared(together, true));
}

}  // namespace
}  // namespace ranktune
