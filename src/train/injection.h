#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace ranktune {

/// What `ranktune train --inject` does to a rank, for drills on a user's own cluster.
enum class FaultKind {
  kKill,      ///< SIGKILL, as the kernel out of memory or a node's end would
  kStop,      ///< SIGSTOP, all of the process's threads
  kExit,      ///< the process leaves without a word to MPI
  kThrow,     ///< an error on this rank alone
  kOom,       ///< no more memory from now on, and some is asked for
  kNan,       ///< NaN in a gradient
  kNanLoss,   ///< NaN instead of a loss
  kStall,     ///< the thread sleeps
  kSlowDisk,  ///< every save sleeps
};

/// Where it strikes.
enum class FaultPhase {
  kStep,        ///< before the step's batch is taken
  kReduce,      ///< the rank's gradients are ready, the ranks' sums are not
  kValidation,  ///< before a validation
  kSave,        ///< on the writer's thread, in the middle of the rank's own files of a checkpoint
  kPublish,     ///< on the writer's thread, before the whole checkpoint gets its name (rank 0 gives it)
  kExport,      ///< before the result is written
  kEnd,         ///< all ranks are done and nothing watches over them any more
};

struct Fault {
  FaultKind kind = FaultKind::kKill;
  int rank = 0;
  std::int64_t step = 1;  ///< counted from 1; strikes where the phase is first met in this step or later
  FaultPhase phase = FaultPhase::kStep;
  std::int64_t attempt = 1;  ///< of the run: a start after the fault is not struck again
  double seconds = 0;        ///< of kStall (0: for ever) and kSlowDisk
  int code = 1;              ///< of kExit
  std::string text;          ///< as it was written
};

/// "KIND[:KEY=VALUE,...]", as the help of --inject describes it; throws Error(kUsage) that names what is
/// wrong and what would be right.
Fault parse_fault(std::string_view text);
/// One line for each kind and phase, for the help.
std::string fault_help();
struct RankPlace {
  int rank = 0;
  int ranks = 1;
  std::int64_t attempt = 1;
};

/// The faults of one rank, armed. Each strikes once (kSlowDisk: at every save). Thread-safe.
class Injection {
 public:
  Injection() = default;
  /// Throws Error(kUsage) where a fault is meant for a rank that does not exist.
  Injection(const std::vector<Fault>& faults, const RankPlace& place) { arm(faults, place); }
  void arm(const std::vector<Fault>& faults, const RankPlace& place);

  /// To be called where `phase` is met in `step` (counted from 1). May not return, or throw.
  void at(FaultPhase phase, std::int64_t step);
  /// Whether a gradient, or the loss, of this rank's next slot of this step is to become NaN.
  bool spoils_gradient(std::int64_t step) { return spoils(FaultKind::kNan, step); }
  bool spoils_loss(std::int64_t step) { return spoils(FaultKind::kNanLoss, step); }

 private:
  struct Armed {
    Fault fault;
    bool struck = false;
  };
  /// The faults due now among those that `wanted` accepts, marked as struck and announced.
  std::vector<Fault> due(FaultPhase phase, std::int64_t step, const std::function<bool(FaultKind)>& wanted);
  bool spoils(FaultKind kind, std::int64_t step);

  std::mutex mutex_;
  std::vector<Armed> armed_;
};

}  // namespace ranktune
