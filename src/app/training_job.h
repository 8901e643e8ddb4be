#pragma once

#include "comm/comm_options.h"
#include "comm/communicator.h"
#include "comm/mpi_session.h"
#include "comm/watchdog.h"
#include "config/run_config.h"

namespace ranktune {

/// What the parts of a training run work with, on every rank; all of it outlives them.
struct TrainingJob {
  const MpiSession& session;
  const RunConfig& config;
  const CommOptions& comm;
  Communicator& control;  ///< host memory, main thread
  Watchdog& watchdog;

  bool root() const { return session.rank() == 0; }
};

}  // namespace ranktune
