#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/background_saver.h"
#include "checkpoint/best_losses.h"
#include "checkpoint/load.h"
#include "comm/watchdog.h"
#include "data/step_batch.h"
#include "model/decoder.h"
#include "train/metrics_log.h"
#include "train/step_feed.h"
#include "train/trainable.h"
#include "zero/lr_schedule.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {

struct TrainerOptions {
  std::uint64_t seed = 0;  ///< of dropout; the data's order has it from the stream
  std::int64_t total_steps = 0;
  std::int64_t rows = 0;            ///< of the training data set
  std::int64_t validate_every = 0;  ///< steps; 0: never
  std::int64_t log_every = 1;       ///< steps between plain progress lines
  double lr = 1e-4;                 ///< peak
  bool recompute = false;  ///< layers' activations are computed again in the backward pass instead of kept
};

class ProgressLine;

/// What the trainer works with; all outlive it.
struct TrainerParts {
  Decoder& decoder;
  TrainableSet& trainable;
  Zero2Optimizer& optimizer;
  const LrSchedule& schedule;
  Communicator& control;  ///< host memory, main thread
  Watchdog& watchdog;
  MetricsLog* metrics = nullptr;  ///< rank 0 only
  MetricsLog* ledger = nullptr;   ///< rank 0 only: which rows each step trained on
  /// Files of a checkpoint beside the optimizer state, made from the values of the moment (rank 0 only).
  std::function<std::vector<CheckpointFile>(std::int64_t step)> checkpoint_files;
  BackgroundSaver& saver;
  OrderedJson trainer_json;  ///< what every checkpoint records beside the trainer's own position
};

enum class TrainEnd { kFinished, kInterrupted };

/// The training loop: batch -> slot gradients -> one reduce, update, gather -> metrics, validation,
/// checkpoint. Every rank makes the same decisions, because they come from reduced numbers only.
class Trainer {
 public:
  Trainer(const TrainerOptions& options, TrainerParts parts);
  ~Trainer();

  /// The validation set's batches, the same on every rank.
  using ValidationSet = std::vector<StepBatch>;
  /// `feed` delivers the batches from `first_step`. Ends after the last step, or after the step in which any
  /// rank was asked to stop; a checkpoint has been written in both cases (Error if it could not be in the
  /// second).
  TrainEnd run(StepFeed& feed, const ValidationSet& validation, std::int64_t first_step);

  /// Takes up the counts of a checkpoint's trainer.json.
  void restore(const Json& trainer_json);

 private:
  struct StepSums;
  struct StepReport {
    const StepBatch& batch;
    const StepResult& result;
    double loss, lr, seconds;
  };
  StepSums accumulate(const StepBatch& batch);
  bool train_step(StepFeed& feed, std::int64_t step);  ///< true: some rank was asked to stop
  void check_skipped(const StepResult& result, std::int64_t step);
  void report(const StepReport& report, double waited_in_all);
  double validate(const ValidationSet& validation, std::int64_t done);
  void save(std::int64_t done, std::optional<double> validation_loss);
  void note_saved(const std::optional<SaveResult>& result);

  TrainerOptions options_;
  TrainerParts parts_;
  std::unique_ptr<ProgressLine> progress_;
  double gemm_limit_ = 0;  ///< of all ranks together, operations a second
  double seconds_per_step_ = 0;
  double waited_before_ = 0;
  std::int64_t skipped_in_a_row_ = 0;
  std::int64_t tokens_seen_ = 0;
  BestLosses best_losses_;
  bool last_save_worked_ = true;

  /// Of the checkpoint being saved: how long the training stood still for it, and the time since the one
  /// before.
  struct SaveCost {
    std::int64_t step = 0;
    double blocking = 0, interval = 0;
  };
  SaveCost save_cost_;
  std::chrono::steady_clock::time_point interval_begin_;
};

}  // namespace ranktune
