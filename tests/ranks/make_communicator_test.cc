#include "comm/make_communicator.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "comm/collectives.h"
#include "comm/cuda_devices.h"
#include "comm/nccl_communicator.h"
#include "ranks/rank_session.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

/// A machine without GPUs, whatever this one has: CUDA reads it when it starts.
const bool kHidden = ::setenv("CUDA_VISIBLE_DEVICES", "", 1) == 0;

TEST(MakeCommunicator, WithoutGpusAutoMeansTheCpuAndMpi) {
  ASSERT_TRUE(kHidden);
  EXPECT_EQ(visible_gpus(), 0);
  const CommOptions options = {.timeout = 60};
  Activity activity;
  const auto control = make_control_communicator(rank_session(), options, &activity);
  for (const char* device : {"auto", "cpu"}) {
    const DeviceChoice choice = choose_device(rank_session(), *control, options, device);
    EXPECT_EQ(choice.kind, DeviceKind::kCpu);
    EXPECT_EQ(choice.gpu, -1);
    const auto data =
        make_data_communicator(rank_session(), *control, options, {.device = choice, .activity = &activity});
    EXPECT_EQ(data->backend(), "mpi");
    EXPECT_TRUE(data->takes(DeviceKind::kCpu));
    EXPECT_FALSE(data->takes(DeviceKind::kCuda));
    EXPECT_EQ(all_reduce_value(*data, 1, ReduceOp::kSum), rank_session().size());
  }
}

TEST(MakeCommunicator, CudaWithoutAGpuIsRefusedOnAllRanks) {
  const CommOptions options = {.timeout = 60};
  const auto control = make_control_communicator(rank_session(), options, nullptr);
  const auto choose = [&](const char* device) { choose_device(rank_session(), *control, options, device); };
  expect_error([&] { choose("cuda"); }, built_with_cuda() ? "sees no GPU" : "without CUDA");
  expect_error([&] { choose("tpu"); }, "device = \"tpu\"", "\"auto\", \"cpu\", \"cuda\"");
  expect_error([&] { make_nccl_communicator(*control, {.abort_signal = rank_session().abort_signal()}); },
               built_with_cuda() ? "cudaSetDevice failed" : "without CUDA");
  EXPECT_EQ(all_reduce_value(*control, 1, ReduceOp::kSum), rank_session().size());
}

TEST(MakeCommunicator, NodeAndBackgroundCommunicatorsWork) {
  const auto node = make_node_communicator(rank_session(), {}, nullptr);
  EXPECT_EQ(node->rank(), rank_session().local_rank());
  const auto background = make_background_communicator(rank_session());
  EXPECT_EQ(broadcast_value(*background, rank_session().rank(), rank_session().size() - 1),
            rank_session().size() - 1);
}

}  // namespace
}  // namespace ranktune
