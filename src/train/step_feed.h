#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "comm/activity.h"
#include "comm/communicator.h"
#include "data/step_batch.h"

namespace ranktune {

/// Brings every rank the batches of a run ahead of time. Rank 0's thread asks `source` for them in turn and
/// broadcasts each to the threads of the other ranks, on a communicator of their own, while the main threads
/// train; two batches are kept ready. An error of the source reaches next() on every rank.
class StepFeed {
 public:
  using Source = std::function<StepBatch(std::int64_t step)>;
  struct Setup {
    std::unique_ptr<Communicator> communicator;
    Source source;                ///< needed on rank 0 only; called by the feed's thread
    std::int64_t first_step = 0;  ///< batches first_step .. last_step-1; the same on all ranks
    std::int64_t last_step = 0;
    Activity* activity = nullptr;  ///< where waits of the main thread are marked
  };
  explicit StepFeed(Setup setup);
  StepFeed(const StepFeed&) = delete;
  StepFeed& operator=(const StepFeed&) = delete;
  /// Collective in effect: every rank ends its feed after the same batch, or the process is about to end
  /// anyway.
  ~StepFeed();

  /// The next batch; throws the source's error. Waits for it as long as it takes: the watchdog limits that.
  StepBatch next();
  /// Seconds that next() has waited in all.
  double wait_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ranktune
