#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "app/training_job.h"
#include "data/shard_reader.h"
#include "data/step_batch.h"
#include "data/step_stream.h"
#include "text/stop_tokens.h"

namespace ranktune {

/// What rank 0 reads of the data and the model's texts, and tells the others.
struct DataFacts {
  std::int64_t steps_per_epoch = 0, total_steps = 0, rows = 0;
  std::string tokenizer_fingerprint, template_name, template_fingerprint, data_hash;
  std::vector<std::int64_t> trained_tokens{};  ///< whose rows are trained beside the adapter
};

/// The data sets of a run, which rank 0 reads. Its construction and read_validation() are collective; what is
/// wrong with the files is thrown by all ranks alike.
class TrainingData {
 public:
  TrainingData(const TrainingJob& job, TemplateMismatch mismatch);

  const DataFacts& facts() const { return facts_; }
  /// Rank 0 alone; any thread, one at a time.
  StepBatch batch(std::int64_t step) const { return stream_->batch(step); }
  /// All batches of data.validation, on every rank; none where there is no such data set.
  std::vector<StepBatch> read_validation() const;

 private:
  void read(TemplateMismatch mismatch);

  const TrainingJob& job_;
  std::unique_ptr<ShardReader> reader_;  // rank 0
  std::unique_ptr<StepStream> stream_;   // rank 0
  DataFacts facts_;
};

}  // namespace ranktune
