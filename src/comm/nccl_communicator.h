#pragma once

#include <memory>

#include "comm/abort_signal.h"
#include "comm/activity.h"
#include "comm/communicator.h"

// The CUDA runtime's stream type, named here so that its headers stay out of ours.
struct CUstream_st;

namespace ranktune {

struct NcclCommunicatorOptions {
  int device = 0;                   ///< index among the visible GPUs
  CUstream_st* producer = nullptr;  ///< work already queued here is waited for before a call's data is read
  double timeout = 600;             ///< seconds one call may take before the communicator is aborted
  Activity* activity = nullptr;     ///< told when a call waits; must outlive the communicator
  std::shared_ptr<AbortSignal> abort_signal;  ///< required
};

/// GPU memory over NCCL, in programs built with CUDA (others throw). `control` (over MPI, host memory)
/// carries the NCCL id and is duplicated; the group is its group. Each communicator runs on a stream of its
/// own: a call waits there for the producer stream's work so far, and returns when the result is in memory,
/// so that work queued later on any stream sees it. Waiting polls NCCL's asynchronous error, the abort signal
/// and the time limit. Host memory is refused.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& control,
                                                     const NcclCommunicatorOptions& options);

/// GPU memory through host memory and `control`'s duplicate: for ranks that share a GPU, which NCCL refuses.
std::unique_ptr<Communicator> make_staged_communicator(Communicator& control,
                                                       const NcclCommunicatorOptions& options);

}  // namespace ranktune
