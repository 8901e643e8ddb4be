#include "train/trainer.h"

#include <array>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "comm/collectives.h"
#include "data/consumed.h"
#include "data/packing.h"
#include "train/exact_sum.h"
#include "train/gemm_limit.h"
#include "train/progress_line.h"
#include "train/slot_loss.h"
#include "train/stop_signal.h"

namespace ranktune {
namespace {

using Clock = std::chrono::steady_clock;

/// More skipped steps than this in a row mean that training does not work, not that a batch was odd.
constexpr std::int64_t kMaxSkippedInARow = 20;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The slots of a batch that fall to each rank. Any division gives the same result; this one balances the
/// work.
std::vector<std::int32_t> divide(const StepBatch& batch, int ranks) {
  const SlotCost cost;
  std::vector<double> costs;
  for (const Slot& slot : batch.slots) {
    std::vector<std::int64_t> lengths;
    for (std::size_t e = 0; e + 1 < slot.boundaries.size(); ++e)
      lengths.push_back(slot.boundaries[e + 1] - slot.boundaries[e]);
    costs.push_back(cost.of(lengths));
  }
  return assign_slots(costs, ranks);
}

}  // namespace

/// What a step's ranks add up; exact, because integers are.
struct Trainer::StepSums {
  std::int64_t loss = 0;         ///< fixed point
  std::int64_t uncountable = 0;  ///< slots whose loss is NaN, infinite or absurd
  std::int64_t stop_requests = 0;
  RowTally ran{};  ///< the examples whose gradients are in the sum
};

Trainer::Trainer(const TrainerOptions& options, TrainerParts parts)
    : options_(options),
      parts_(std::move(parts)),
      progress_(std::make_unique<ProgressLine>(options.log_every)),
      best_losses_(parts_.saver.setup().options.keep_best) {}

Trainer::~Trainer() = default;

void Trainer::restore(const Json& trainer_json) {
  tokens_seen_ = json_get<std::int64_t>(trainer_json, "tokens_seen", "trainer.json");
  for (const double loss :
       json_get_or<std::vector<double>>(trainer_json, "best_validation_losses", {}, "trainer.json"))
    best_losses_.add(loss);
}

Trainer::StepSums Trainer::accumulate(const StepBatch& batch) {
  const std::vector<std::int32_t> owner = divide(batch, parts_.control.size());
  StepSums sums;
  for (std::size_t s = 0; s < batch.slots.size(); ++s) {
    if (owner[s] != parts_.control.rank()) continue;
    parts_.watchdog.enter(Phase::kForward, batch.step);
    const ForwardMode mode{
        .training = true,
        .recompute = options_.recompute,
        .dropout_seed = mix_seed(options_.seed, static_cast<std::uint64_t>(batch.step), s)};
    const SlotGradients slot =
        slot_gradients(parts_.decoder, batch.slots[s], parts_.trainable.leaves(), mode);
    if (is_countable_loss(slot.loss_sum))
      sums.loss += loss_to_fixed(slot.loss_sum);
    else
      ++sums.uncountable;
    parts_.optimizer.accumulate(slot.gradients);
    sums.ran.add(batch.slots[s]);
  }
  sums.stop_requests = StopSignal::received() != 0 ? 1 : 0;
  return sums;
}

void Trainer::check_skipped(const StepResult& result, std::int64_t step) {
  if (!result.skipped) {
    skipped_in_a_row_ = 0;
    return;
  }
  const std::string reason =
      result.no_tokens ? std::string("no supervised tokens in its batch")
      : result.saturated > 0
          ? fmt::format("gradients of {} slots too large for the exact reduction", result.saturated)
          : std::string("NaN or infinity in a gradient");
  if (parts_.control.rank() == 0) log_warning("step {} changed nothing: {}", step, reason);
  ++skipped_in_a_row_;
  require(
      skipped_in_a_row_ <= kMaxSkippedInARow,
      "step {}: {} steps in a row changed nothing, the last for {}; lower optimizer.lr or look at the data",
      step, skipped_in_a_row_, reason);
}

bool Trainer::train_step(StepFeed& feed, std::int64_t step) {
  const auto begin = Clock::now();
  parts_.watchdog.enter(Phase::kData, step);
  const StepBatch batch = feed.next();
  require(batch.step == step, "the data feed delivered step {} instead of {}", batch.step, step);
  StepSums sums = accumulate(batch);
  parts_.watchdog.enter(Phase::kReduceScatter, step);
  std::array words{sums.loss, sums.uncountable, sums.stop_requests, sums.ran.examples, sums.ran.digest};
  all_reduce(parts_.control, std::span<std::int64_t>(words), ReduceOp::kSum);
  // What the ledger says is what was run, not what was planned.
  const RowTally ran{words[3], words[4]}, planned = tally_of(batch);
  if (ran != planned)
    throw AgreedError(
        fmt::format("step {}: the ranks together ran {} examples, not the {} of its batch, or other ones",
                    step, ran.examples, planned.examples));
  const double lr = options_.lr * parts_.schedule.factor(step);
  const StepResult result = parts_.optimizer.step(batch.supervised_tokens, lr);
  parts_.trainable.bind(parts_.optimizer);
  check_skipped(result, step);
  tokens_seen_ += batch.tokens;

  const double loss = words[1] > 0
                          ? std::nan("")
                          : loss_from_fixed(words[0]) /
                                static_cast<double>(std::max<std::int64_t>(batch.supervised_tokens, 1));
  report({.batch = batch, .result = result, .loss = loss, .lr = lr, .seconds = seconds_since(begin)},
         feed.wait_seconds());
  return words[2] > 0;
}

void Trainer::report(const StepReport& report, double waited_in_all) {
  const double waited = waited_in_all - waited_before_;
  waited_before_ = waited_in_all;
  // The first steps warm caches up; a running mean forgets them.
  seconds_per_step_ =
      seconds_per_step_ == 0 ? report.seconds : 0.9 * seconds_per_step_ + 0.1 * report.seconds;
  if (parts_.control.rank() != 0) return;
  const std::int64_t done = report.batch.step + 1;
  const double tokens_per_s = static_cast<double>(report.batch.tokens) / report.seconds;
  const double share = step_operations(parts_.decoder, !parts_.trainable.is_adapter(), report.batch.tokens,
                                       report.batch.supervised_tokens) /
                       report.seconds / gemm_limit_;
  progress_->show({.step = done,
                   .total = options_.total_steps,
                   .loss = report.loss,
                   .lr = report.lr,
                   .grad_norm = report.result.grad_norm,
                   .tokens_per_s = tokens_per_s,
                   .gemm_share = share,
                   .wait_share = waited / report.seconds,
                   .seconds_left = seconds_per_step_ * static_cast<double>(options_.total_steps - done)});
  OrderedJson record{{"step", done},
                     {"epoch", report.batch.epoch},
                     {"loss", report.loss},
                     {"lr", report.lr},
                     {"grad_norm", report.result.grad_norm},
                     {"tokens", report.batch.tokens},
                     {"supervised_tokens", report.batch.supervised_tokens},
                     {"examples", report.batch.examples()},
                     {"slots", report.batch.slots.size()},
                     {"tokens_per_s", tokens_per_s},
                     {"gemm_share", share},
                     {"step_s", report.seconds},
                     {"data_wait_s", waited},
                     {"tokens_seen", tokens_seen_}};
  if (report.result.skipped) record["skipped"] = true;
  parts_.metrics->write(record);
  parts_.ledger->write(ledger_record(report.batch, options_.rows, report.result.skipped));
}

double Trainer::validate(const ValidationSet& validation, std::int64_t done) {
  const auto begin = Clock::now();
  std::array<std::int64_t, 3> words{};  // fixed-point loss, uncountable slots, tokens
  for (const StepBatch& batch : validation) {
    const std::vector<std::int32_t> owner = divide(batch, parts_.control.size());
    for (std::size_t s = 0; s < batch.slots.size(); ++s) {
      if (owner[s] != parts_.control.rank()) continue;
      parts_.watchdog.enter(Phase::kValidation, done);
      const double loss = slot_loss(parts_.decoder, batch.slots[s]);
      if (is_countable_loss(loss))
        words[0] += loss_to_fixed(loss);
      else
        ++words[1];
      words[2] += batch.slots[s].supervised_tokens();
    }
  }
  all_reduce(parts_.control, std::span<std::int64_t>(words), ReduceOp::kSum);
  require(words[2] > 0, "the validation set has no supervised tokens");
  const double loss = words[1] > 0 ? std::nan("") : loss_from_fixed(words[0]) / static_cast<double>(words[2]);
  if (parts_.control.rank() == 0) {
    progress_->finish();
    log_info("step {}: validation loss {:.4f} over {} tokens ({:.1f} s){}", done, loss, words[2],
             seconds_since(begin),
             loss < best_losses_.lowest().value_or(INFINITY) ? ", the best so far" : "");
    parts_.metrics->write({{"step", done},
                           {"validation_loss", loss},
                           {"validation_tokens", words[2]},
                           {"validation_s", seconds_since(begin)}});
  }
  return loss;
}

void Trainer::save(std::int64_t done, std::optional<double> validation_loss) {
  parts_.watchdog.enter(Phase::kCheckpoint, done);
  const auto begin = Clock::now();
  note_saved(parts_.saver.finish());  // never a second copy in memory: a slow disk slows the training down
  CheckpointSnapshot snapshot;
  snapshot.step = done;
  snapshot.validation_loss = validation_loss;
  snapshot.optimizer = parts_.optimizer.snapshot();
  if (parts_.control.rank() == 0) snapshot.files = parts_.checkpoint_files(done);
  snapshot.trainer = parts_.trainer_json;
  snapshot.trainer["tokens_seen"] = tokens_seen_;
  snapshot.trainer["best_validation_losses"] = best_losses_.losses();
  parts_.saver.start(std::move(snapshot));
  save_cost_ = {.step = done, .blocking = seconds_since(begin), .interval = seconds_since(interval_begin_)};
  interval_begin_ = Clock::now();
}

/// What became of a save, once it is known.
void Trainer::note_saved(const std::optional<SaveResult>& result) {
  if (!result) return;
  last_save_worked_ = result->saved;
  if (parts_.control.rank() != 0) return;
  parts_.metrics->write({{"step", save_cost_.step},
                         {"checkpoint", result->name},
                         {"checkpoint_saved", result->saved},
                         {"checkpoint_bytes", result->bytes},
                         {"checkpoint_write_s", result->seconds},
                         {"checkpoint_blocking_s", save_cost_.blocking},
                         {"checkpoint_interval_s", save_cost_.interval}});
  if (!result->saved) return;
  progress_->finish();
  log_info("checkpoint {} ({:.1f} MB, {:.2f} s in the background, {:.3f} s of training)", result->name,
           static_cast<double>(result->bytes) / 1e6, result->seconds, save_cost_.blocking);
}

TrainEnd Trainer::run(StepFeed& feed, const ValidationSet& validation, std::int64_t first_step) {
  gemm_limit_ = all_reduce_value(parts_.control, measure_gemm_limit(parts_.decoder, 256), ReduceOp::kSum);
  parts_.trainable.bind(parts_.optimizer);
  interval_begin_ = Clock::now();
  for (std::int64_t step = first_step; step < options_.total_steps; ++step) {
    const bool stop = train_step(feed, step);
    note_saved(parts_.saver.poll());
    const std::int64_t done = step + 1;
    const bool last = done == options_.total_steps;
    std::optional<double> validation_loss;
    bool best = false;
    if (!validation.empty() && options_.validate_every > 0 && (done % options_.validate_every == 0 || last)) {
      validation_loss = validate(validation, done);
      best = best_losses_.add(*validation_loss);
    }
    const CheckpointOptions& checkpoints = parts_.saver.setup().options;
    if (last || stop || best || (checkpoints.every > 0 && done % checkpoints.every == 0))
      save(done, validation_loss);
    if (!stop && !last) continue;
    note_saved(parts_.saver.finish());
    if (last) continue;
    require(last_save_worked_, "stopped on request after step {}, but no checkpoint could be written", done);
    return TrainEnd::kInterrupted;
  }
  return TrainEnd::kFinished;
}

}  // namespace ranktune
