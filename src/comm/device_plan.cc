#include "comm/device_plan.h"

#include <map>
#include <utility>

#include "base/error.h"

namespace ranktune {

int choose_gpu(const DevicePlanInput& input) {
  require(
      input.visible_devices > 0,
      "device = \"cuda\", but local rank {} sees no GPU: check CUDA_VISIBLE_DEVICES and what the job asked "
      "for, or set device = \"cpu\"",
      input.local_rank);
  // A launcher that gives every rank a GPU of its own shows it as the only one, number 0.
  if (input.visible_devices == 1) return 0;
  if (input.local_size <= input.visible_devices) return input.local_rank;
  require(
      input.share_gpu,
      "{} ranks on this machine but {} GPUs visible, so ranks would share a GPU: start at most {} ranks per "
      "machine (--ntasks-per-node, mpirun --map-by ppr:{}:node), or set comm.share_gpu = true",
      input.local_size, input.visible_devices, input.visible_devices, input.visible_devices);
  return input.local_rank % input.visible_devices;
}

bool gpus_are_shared(std::span<const GpuClaim> claims, bool share_gpu) {
  std::map<std::pair<std::string, std::string>, std::size_t> owners;
  bool shared = false;
  for (std::size_t rank = 0; rank < claims.size(); ++rank) {
    const GpuClaim& claim = claims[rank];
    const auto [owner, fresh] = owners.try_emplace({claim.host, claim.uuid}, rank);
    if (fresh) continue;
    require(share_gpu,
            "ranks {} and {} on host {} would both use GPU {}: start one rank per GPU and let every rank see "
            "its own "
            "or all GPUs of the machine (srun --gpus-per-task=1, or an unset CUDA_VISIBLE_DEVICES), or set "
            "comm.share_gpu = true",
            owner->second, rank, claim.host, claim.uuid);
    shared = true;
  }
  return shared;
}

}  // namespace ranktune
