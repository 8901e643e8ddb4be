#include "data/worker_threads.h"

#include <sched.h>

#include <algorithm>

namespace ranktune {

std::size_t worker_threads(int asked) {
  if (asked > 0) return static_cast<std::size_t>(asked);
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int cores = ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  return static_cast<std::size_t>(std::max(1, cores));
}

}  // namespace ranktune
