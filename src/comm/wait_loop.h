#pragma once

#include <string_view>

#include "base/awake_time.h"
#include "comm/abort_signal.h"

namespace ranktune {

/// The pauses between two looks at an operation that other ranks must help to finish: first none, then
/// yielding the core, then short sleeps. Ends the wait by throwing Error when the abort signal is raised, and
/// when the time limit passes (which raises it: the operation is still under way and everything around it is
/// unsafe to reuse).
class WaitLoop {
 public:
  struct Limits {
    double timeout = 0;       ///< seconds that this process has been awake; 0: none
    bool background = false;  ///< sleep from the start
  };
  /// `call` names the operation and must outlive this.
  WaitLoop(std::string_view call, int rank, AbortSignal& signal, Limits limits)
      : call_(call), rank_(rank), signal_(signal), limits_(limits), waited_(std::chrono::milliseconds(250)) {}
  void pause();

 private:
  std::string_view call_;
  int rank_;
  AbortSignal& signal_;
  Limits limits_;
  AwakeTime waited_;
};

}  // namespace ranktune
