#include "app/core_share.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace ranktune {

void share_cores(const MpiSession& session, std::int64_t threads) {
  const auto cores = std::max(1u, std::thread::hardware_concurrency());
  const char* from_launcher = std::getenv("OMP_NUM_THREADS");
  if (threads == 0 && from_launcher != nullptr) threads = std::strtol(from_launcher, nullptr, 10);
  if (threads <= 0) threads = std::max(1, static_cast<int>(cores) / session.local_size());
  at::set_num_threads(static_cast<int>(threads));
  at::set_num_interop_threads(1);
}

}  // namespace ranktune
