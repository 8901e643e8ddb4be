#include "comm/make_communicator.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/collectives.h"
#include "comm/cuda_devices.h"
#include "comm/device_plan.h"
#include "comm/mpi_communicator.h"
#include "comm/nccl_communicator.h"

namespace ranktune {
namespace {

/// A call's own time limit, so that programs without a watchdog do not hang; 0, none, where one looks on: it
/// lets ranks wait for one that makes progress, for however long, and names the one that does not.
double backstop(const CommOptions& options, const Activity* watched) {
  return watched != nullptr ? 0 : options.timeout;
}

/// A GPU's calls have one in any case, for only they can abort what hangs in NCCL; above 1, so that the
/// watchdog, which names the culprit, comes first.
constexpr double kGpuBackstop = 1.5;

/// Whether "auto" means GPUs: all ranks or none must have them.
bool all_have_gpus(const MpiSession& session, Communicator& control) {
  const std::vector<std::int32_t> gpus = all_gather_value(control, std::int32_t{visible_gpus()});
  const auto without = std::find(gpus.begin(), gpus.end(), 0);
  const auto with = std::find_if(gpus.begin(), gpus.end(), [](std::int32_t count) { return count > 0; });
  if (with == gpus.end()) return false;
  if (without != gpus.end())
    throw AgreedError(fmt::format(
        "rank {} on host {} sees no GPU, but rank {} on host {} sees {}: ask for GPUs on all nodes, or set "
        "device = \"cpu\"",
        without - gpus.begin(), session.hosts()[static_cast<std::size_t>(without - gpus.begin())],
        with - gpus.begin(), session.hosts()[static_cast<std::size_t>(with - gpus.begin())], *with));
  return true;
}

}  // namespace

std::unique_ptr<Communicator> make_control_communicator(const MpiSession& session, const CommOptions& options,
                                                        Activity* activity) {
  return make_mpi_communicator(session, {.timeout = backstop(options, activity), .activity = activity});
}

std::unique_ptr<Communicator> make_background_communicator(const MpiSession& session, Activity* activity) {
  return make_mpi_communicator(session, {.background = true, .activity = activity});
}

std::unique_ptr<Communicator> make_node_communicator(const MpiSession& session, const CommOptions& options,
                                                     Activity* activity) {
  return make_mpi_communicator(session, {.group = RankGroup::kNode,
                                         .ranks_per_node = options.ranks_per_node,
                                         .timeout = backstop(options, activity),
                                         .activity = activity});
}

std::unique_ptr<Communicator> make_node_heads_communicator(const MpiSession& session,
                                                           const CommOptions& options, Activity* activity) {
  return make_mpi_communicator(session, {.group = RankGroup::kNodeHeads,
                                         .ranks_per_node = options.ranks_per_node,
                                         .timeout = backstop(options, activity),
                                         .activity = activity});
}

DeviceChoice choose_device(const MpiSession& session, Communicator& control, const CommOptions& options,
                           std::string_view device) {
  require(device == "auto" || device == "cpu" || device == "cuda",
          "device = \"{}\" is none of \"auto\", \"cpu\", \"cuda\"", device);
  if (device == "cpu" || (device == "auto" && !all_have_gpus(session, control))) return {};
  DeviceChoice choice = {.kind = DeviceKind::kCuda};
  std::string uuid;
  together(control, [&] {
    require(built_with_cuda(),
            "device = \"cuda\", but this program was built without CUDA: build it where the CUDA "
            "toolkit and NCCL are");
    choice.gpu = choose_gpu({.local_rank = session.local_rank(),
                             .local_size = session.local_size(),
                             .visible_devices = visible_gpus(),
                             .share_gpu = options.share_gpu});
    uuid = gpu_uuid(choice.gpu);
  });
  std::vector<GpuClaim> claims;
  for (const std::string& each : all_gather_strings(control, uuid)) {
    claims.push_back({.host = session.hosts()[claims.size()], .uuid = each});
  }
  together(control, [&] { choice.shared = gpus_are_shared(claims, options.share_gpu); });
  return choice;
}

std::unique_ptr<Communicator> make_data_communicator(const MpiSession& session, Communicator& control,
                                                     const CommOptions& options, const DataPlane& plane) {
  if (plane.device.kind == DeviceKind::kCpu) {
    return make_mpi_communicator(session,
                                 {.timeout = backstop(options, plane.activity), .activity = plane.activity});
  }
  const NcclCommunicatorOptions gpu = {.device = plane.device.gpu,
                                       .producer = plane.producer,
                                       .timeout = options.timeout * kGpuBackstop,
                                       .activity = plane.activity,
                                       .abort_signal = session.abort_signal()};
  return plane.device.shared ? make_staged_communicator(control, gpu) : make_nccl_communicator(control, gpu);
}

}  // namespace ranktune
