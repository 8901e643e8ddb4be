#pragma once

#include <cstdint>
#include <memory>

#include "comm/activity.h"
#include "comm/communicator.h"
#include "comm/mpi_session.h"

namespace ranktune {

/// Which ranks form the group.
enum class RankGroup {
  kWorld,
  kNode,       ///< the ranks of this machine; rank() is then the session's local_rank()
  kNodeHeads,  ///< the first rank of every machine; rank 0 of the world is its rank 0
};

struct MpiCommunicatorOptions {
  RankGroup group = RankGroup::kWorld;
  /// For kNode and kNodeHeads: how many ranks count as one machine (CommOptions).
  int ranks_per_node = 0;
  /// Seconds one call may wait before it throws; 0: for ever (the watchdog ends the job).
  double timeout = 0;
  /// For a helper thread whose latency does not matter: waits by sleeping instead of spinning.
  bool background = false;
  /// Told when a call waits; must outlive the communicator. Only the main thread's communicators should have
  /// it.
  Activity* activity = nullptr;
  /// Elements one MPI call may move (its counts are 32-bit); larger buffers are cut up. Tests make it small.
  std::int64_t max_count = std::int64_t{1} << 28;
};

/// Host memory over MPI: the control plane everywhere, and the data plane on CPUs. Collective over the
/// session's world. Blocking calls are made of MPI's non-blocking ones and a loop that tests, yields and
/// sleeps, so that no call outlives an abort. bfloat16 is reduced in fp32 and rounded once. GPU memory is
/// refused. Null on a rank that does not belong to the group.
std::unique_ptr<Communicator> make_mpi_communicator(const MpiSession& session,
                                                    const MpiCommunicatorOptions& options = {});

}  // namespace ranktune
