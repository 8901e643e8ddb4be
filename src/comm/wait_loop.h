#pragma once

#include <chrono>
#include <string_view>

#include "comm/abort_signal.h"

namespace ranktune {

/// The pauses between two looks at an operation that other ranks must help to finish: first none, then
/// yielding the core, then short sleeps. Ends the wait by throwing Error when the abort signal is raised, and
/// when the time limit passes (which raises it: the operation is still under way and everything around it is
/// unsafe to reuse).
class WaitLoop {
 public:
  struct Limits {
    double timeout = 0;       ///< seconds; 0: none
    bool background = false;  ///< sleep from the start
  };
  /// `call` names the operation and must outlive this.
  WaitLoop(std::string_view call, int rank, AbortSignal& signal, Limits limits)
      : call_(call), rank_(rank), signal_(signal), limits_(limits) {}
  void pause();

 private:
  std::string_view call_;
  int rank_;
  AbortSignal& signal_;
  Limits limits_;
  std::chrono::steady_clock::duration waited_{};
  std::chrono::steady_clock::time_point last_look_ = std::chrono::steady_clock::now();
};

}  // namespace ranktune
