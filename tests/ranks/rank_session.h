#pragma once

#include "comm/mpi_session.h"

namespace ranktune {

/// The MPI session of a rank test's program; tests/ranks/main.cc owns it.
MpiSession& rank_session();

}  // namespace ranktune
