#pragma once

#include <cstdint>

#include "comm/mpi_session.h"

namespace ranktune {

/// Sets how many threads this rank computes with: `threads`, or where that is 0 OMP_NUM_THREADS, which
/// launchers set, else the rank's share of the machine's cores.
void share_cores(const MpiSession& session, std::int64_t threads = 0);

}  // namespace ranktune
