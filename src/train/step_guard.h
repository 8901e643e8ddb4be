#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace ranktune {

/// What is done about a step whose numbers are bad.
enum class GuardPolicy {
  kOff,     ///< not looked for (loss spikes only)
  kSkip,    ///< its update is left out
  kRewind,  ///< back to the last checkpoint (see StepGuard)
  kStop,    ///< the training ends with an error
};

/// "off", "skip", "rewind", "stop"; throws for others.
GuardPolicy guard_policy_of(std::string_view name);

struct GuardOptions {
  GuardPolicy non_finite = GuardPolicy::kStop;
  GuardPolicy loss_spike = GuardPolicy::kOff;
  double spike_factor = 3;  ///< a spike is above this multiple of the median of recent losses
  std::int64_t spike_window =
      50;  ///< how many losses that median is of; none is a spike before there are so many
  std::int64_t max_rewinds = 3;

  bool rewinds() const { return non_finite == GuardPolicy::kRewind || loss_spike == GuardPolicy::kRewind; }
};

enum class Trouble { kNone, kNonFinite, kLossSpike };

/// A return to a checkpoint: what for, and the step that was the reason (from 0).
struct Rewind {
  std::int64_t step = 0;
  Trouble reason = Trouble::kNonFinite;

  bool operator==(const Rewind&) const = default;
};

/// Decides about bad steps. Pure: it sees numbers that all ranks have reduced, so that all of them decide
/// alike, on any number of ranks.
///
/// After a rewind the same data come again and nothing is drawn anew. So a step with NaN is only tried a
/// second time, which helps where a machine's fault made it, and then left out. A loss spike may be the fault
/// of the updates before it: the k-th rewind for one leaves out the spiking step and the 2^k - 1 before it.
class StepGuard {
 public:
  StepGuard(const GuardOptions& options, std::vector<Rewind> rewinds);

  const GuardOptions& options() const { return options_; }
  const std::vector<Rewind>& rewinds() const { return rewinds_; }

  /// Is the update of this step left out since a rewind, whatever it computes?
  bool is_left_out(std::int64_t step) const;
  bool is_spike(double loss) const;
  /// Of the losses looked back at.
  double median() const;

  /// What to do about a bad step; remembers it where that is a rewind. kStop where a rewind is wanted, but
  /// max_rewinds is used up.
  GuardPolicy judge(std::int64_t step, Trouble trouble);
  /// A step was done whose loss counts.
  void note(double loss);

  /// For checkpoints: the losses looked back at; null where spikes are not looked for.
  OrderedJson state() const;
  void restore(const Json& state);

 private:
  GuardOptions options_;
  std::vector<Rewind> rewinds_;
  std::deque<double> recent_;
};

/// run.dir/rewinds.json: [{"step": 12, "reason": "non_finite"}], steps from 1 as in metrics.jsonl. It
/// outlives checkpoints, which are older than the reason for going back to them.
std::string rewinds_text(const std::vector<Rewind>& rewinds);
std::vector<Rewind> parse_rewinds(std::string_view text, std::string_view where);

/// Whether a checkpoint after `done` steps, written when `known` were the rewinds, has updates in it that are
/// left out by now. Going on from it, a run would not end as one does that has older checkpoints only.
bool holds_left_out(std::int64_t done, const std::vector<Rewind>& known, const std::vector<Rewind>& rewinds);

/// "non_finite", "loss_spike".
std::string_view trouble_name(Trouble trouble);

}  // namespace ranktune
