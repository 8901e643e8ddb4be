#pragma once

#include <memory>
#include <string_view>

#include "comm/activity.h"
#include "comm/comm_options.h"
#include "comm/communicator.h"
#include "comm/mpi_session.h"

struct CUstream_st;

namespace ranktune {

/// Host-memory messages between all ranks (MPI), for the main thread: its waits are marked in `activity`.
std::unique_ptr<Communicator> make_control_communicator(const MpiSession& session, const CommOptions& options,
                                                        Activity* activity);

/// The same for a helper thread: waits sleep and have no time limit of their own. They are marked in
/// `activity`, where given: the helper's, not the one that the watchdog judges the rank by.
std::unique_ptr<Communicator> make_background_communicator(const MpiSession& session,
                                                           Activity* activity = nullptr);

/// Host-memory messages between the ranks of one machine, for the main thread.
std::unique_ptr<Communicator> make_node_communicator(const MpiSession& session, const CommOptions& options,
                                                     Activity* activity);

/// The same between the first ranks of all machines; null on the others. Collective over the world.
std::unique_ptr<Communicator> make_node_heads_communicator(const MpiSession& session,
                                                           const CommOptions& options, Activity* activity);

/// Where a rank's tensors live.
struct DeviceChoice {
  DeviceKind kind = DeviceKind::kCpu;
  int gpu = -1;         ///< index among the visible GPUs; -1 on the CPU
  bool shared = false;  ///< other ranks use this GPU too
};

/// Chooses for `device` = "auto", "cpu" or "cuda". Collective over `control`: all ranks get the same kind, or
/// all throw: GPUs on some ranks only, two ranks on one GPU by accident, "cuda" without a GPU or a CUDA
/// build.
DeviceChoice choose_device(const MpiSession& session, Communicator& control, const CommOptions& options,
                           std::string_view device);

struct DataPlane {
  DeviceChoice device;
  CUstream_st* producer =
      nullptr;  ///< the stream that fills the buffers (GPU only); null: the default stream
  Activity* activity = nullptr;
};

/// The communicator for tensors on the chosen device: MPI for the CPU, NCCL for GPUs, host staging for shared
/// GPUs.
std::unique_ptr<Communicator> make_data_communicator(const MpiSession& session, Communicator& control,
                                                     const CommOptions& options, const DataPlane& plane);

}  // namespace ranktune
