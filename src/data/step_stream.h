#pragma once

#include <cstdint>
#include <optional>

#include "data/sample_order.h"
#include "data/shard_reader.h"
#include "data/step_batch.h"

namespace ranktune {

struct StepStreamOptions {
  std::uint64_t seed = 0;
  std::int64_t sequences_per_step = 16;  ///< examples of one optimizer step, >= 1
  std::int64_t tokens_per_slot = 2048;   ///< >= the longest row of the data set
  std::int64_t start_step = 0;
  bool shuffle = true;
  bool one_epoch = false;  ///< ends after every row came once; the last batch may be smaller (validation)
};

/// The batches of a run. Batch s is a pure function of (data set, seed, sequences_per_step, tokens_per_slot,
/// s): it holds the examples at positions s * sequences_per_step and following of SampleOrder, so a batch may
/// cross from one epoch into the next, and any batch can be had without the ones before it.
class StepStream {
 public:
  /// `reader` must outlive the stream. Throws when a row is longer than a slot.
  StepStream(const ShardReader& reader, const StepStreamOptions& options);

  /// Batch number next_step(); nothing once a stream of one epoch has ended.
  std::optional<StepBatch> next();
  StepBatch batch(std::int64_t step) const;

  std::int64_t next_step() const noexcept { return next_step_; }
  void seek(std::int64_t step) { next_step_ = step; }
  /// Steps after which `epochs` epochs have been seen, the last step whole (rounded up).
  std::int64_t steps_for(double epochs) const;
  std::int64_t steps_per_epoch() const { return steps_for(1.0); }

 private:
  const ShardReader& reader_;
  StepStreamOptions options_;
  SampleOrder order_;
  std::int64_t next_step_;
};

}  // namespace ranktune
