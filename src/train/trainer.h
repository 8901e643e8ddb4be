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
#include "train/injection.h"
#include "train/metrics_log.h"
#include "train/step_feed.h"
#include "train/step_guard.h"
#include "train/trainable.h"
#include "zero/loss_scaler.h"
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
  std::optional<LossScaleOptions> loss_scale{};  ///< for fp16
  GuardOptions guard{};
  std::vector<Rewind> rewinds{};  ///< of the run so far
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
  Injection& injection;      ///< faults asked for
  OrderedJson trainer_json;  ///< what every checkpoint records beside the trainer's own position
};

enum class TrainEnd {
  kFinished,
  kInterrupted,
  kRewind,  ///< a bad step wants the last checkpoint back: load it, restore(), and run() again from there
};

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
  /// second). kRewind comes before the bad step counts, with no checkpoint being written any more.
  TrainEnd run(StepFeed& feed, const ValidationSet& validation, std::int64_t first_step);

  /// Takes up the counts of a checkpoint's trainer.json.
  void restore(const Json& trainer_json);
  /// Of the run so far, the one that run() ended for the last.
  const std::vector<Rewind>& rewinds() const { return guard_.rewinds(); }

 private:
  struct StepSums;
  enum class StepEnd { kGoOn, kStop, kRewind };
  /// What became of a step.
  struct StepOutcome {
    StepResult result;
    double loss = 0;
    Trouble trouble = Trouble::kNone;
    bool left_out = false;  ///< since an earlier rewind
  };
  struct StepReport {
    const StepBatch& batch;
    const StepOutcome& outcome;
    double lr, seconds;
    std::optional<double> loss_scale;
  };
  StepSums accumulate(const StepBatch& batch);
  StepEnd train_step(StepFeed& feed, std::int64_t step);
  StepOutcome update(const StepBatch& batch, const StepSums& sums, double lr);
  bool settle(const StepBatch& batch, const StepSums& sums, const StepOutcome& outcome);
  bool lower_scale(const StepBatch& batch, const StepSums& sums);
  bool guard_step(const StepBatch& batch, const StepSums& sums, const StepOutcome& outcome);
  void warn_of_idle_ranks(const StepBatch& batch);
  void count_skipped(std::int64_t step, const std::string& reason);
  void report(const StepReport& report, double waited_in_all);
  double validate(const ValidationSet& validation, std::int64_t done);
  void save(std::int64_t done, std::optional<double> validation_loss);
  void note_saved(const std::optional<SaveResult>& result);
  void warn_of_slow_save(const std::optional<SaveResult>& result, double waited);

  TrainerOptions options_;
  TrainerParts parts_;
  std::unique_ptr<ProgressLine> progress_;
  double gemm_limit_ = 0;  ///< of all ranks together, operations a second
  double seconds_per_step_ = 0;
  double waited_before_ = 0;
  std::optional<LossScaler> scaler_;
  StepGuard guard_;
  std::int64_t skipped_in_a_row_ = 0;
  std::int64_t tokens_seen_ = 0;
  BestLosses best_losses_;
  bool last_save_worked_ = true;
  bool idle_ranks_told_ = false, slow_save_told_ = false;

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
