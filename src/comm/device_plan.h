#pragma once

#include <span>
#include <string>

namespace ranktune {

struct DevicePlanInput {
  int local_rank = 0;       ///< of this machine's ranks
  int local_size = 1;       ///< ranks on this machine
  int visible_devices = 0;  ///< GPUs this rank may use (CUDA_VISIBLE_DEVICES already applied)
  bool share_gpu = false;   ///< comm.share_gpu
};

/// The index of the GPU for this rank among its visible ones: its only one, or the one numbered like its
/// local rank (modulo their number where sharing is allowed). Throws when there is none, or too few.
int choose_gpu(const DevicePlanInput& input);

/// The GPU a rank took: `uuid` is the physical device's.
struct GpuClaim {
  std::string host;
  std::string uuid;
};

/// True when two ranks took one physical GPU; throws naming them and the remedy unless `share_gpu`. `claims`
/// is in rank order. Needed besides choose_gpu: launchers may show every rank "its only GPU", wrongly the
/// same one.
bool gpus_are_shared(std::span<const GpuClaim> claims, bool share_gpu);

}  // namespace ranktune
