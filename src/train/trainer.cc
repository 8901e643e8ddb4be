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
#include "train/bad_slots.h"
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
  RowTally ran{};                   ///< the examples whose gradients are in the sum
  std::vector<ComputedSlot> slots;  ///< this rank's, in order; not added up
};

Trainer::Trainer(const TrainerOptions& options, TrainerParts parts)
    : options_(options),
      parts_(std::move(parts)),
      progress_(std::make_unique<ProgressLine>(options.log_every)),
      guard_(options.guard, options.rewinds),
      best_losses_(parts_.saver.setup().options.keep_best) {
  if (options.loss_scale) scaler_.emplace(*options.loss_scale);
}

Trainer::~Trainer() = default;

void Trainer::restore(const Json& trainer_json) {
  tokens_seen_ = json_get<std::int64_t>(trainer_json, "tokens_seen", "trainer.json");
  best_losses_ = BestLosses(parts_.saver.setup().options.keep_best);
  for (const double loss :
       json_get_or<std::vector<double>>(trainer_json, "best_validation_losses", {}, "trainer.json"))
    best_losses_.add(loss);
  guard_.restore(trainer_json.value("recent_losses", Json()));
  if (!scaler_) return;
  const Json scale = json_get<Json>(trainer_json, "loss_scale", "trainer.json");
  scaler_->restore(json_get<double>(scale, "scale", "trainer.json"),
                   json_get<std::int64_t>(scale, "good_steps", "trainer.json"));
}

Trainer::StepSums Trainer::accumulate(const StepBatch& batch) {
  const std::vector<std::int32_t> owner = divide(batch, parts_.control.size());
  const double scale = scaler_ ? sum_scale(scaler_->scale(), batch.supervised_tokens) : 1.0;
  StepSums sums;
  for (std::size_t s = 0; s < batch.slots.size(); ++s) {
    if (owner[s] != parts_.control.rank()) continue;
    parts_.watchdog.enter(Phase::kForward, batch.step + 1);
    const ForwardMode mode{
        .training = true,
        .recompute = options_.recompute,
        .dropout_seed = mix_seed(options_.seed, static_cast<std::uint64_t>(batch.step), s)};
    SlotGradients slot =
        slot_gradients(parts_.decoder, batch.slots[s], parts_.trainable.leaves(), mode, scale);
    if (parts_.injection.spoils_gradient(batch.step + 1))
      slot.gradients.front() = torch::full_like(parts_.trainable.leaves().front(), std::nan(""));
    if (parts_.injection.spoils_loss(batch.step + 1)) slot.loss_sum = std::nan("");
    sums.slots.push_back({s, slot.loss_sum});
    if (is_countable_loss(slot.loss_sum))
      sums.loss += loss_to_fixed(slot.loss_sum);
    else
      ++sums.uncountable;
    parts_.optimizer.accumulate(slot.gradients, scale);
    sums.ran.add(batch.slots[s]);
  }
  sums.stop_requests = StopSignal::received() != 0 ? 1 : 0;
  return sums;
}

/// Said of the first step, as the others are much like it.
void Trainer::warn_of_idle_ranks(const StepBatch& batch) {
  if (std::exchange(idle_ranks_told_, true) || parts_.control.rank() != 0) return;
  const std::size_t slots = batch.slots.size();
  if (slots >= static_cast<std::size_t>(parts_.control.size())) return;
  log_warning(
      "{} ranks share the {} slots of step {}: some have nothing to do; raise batch.sequences_per_step, "
      "lower batch.tokens_per_slot, or use fewer ranks",
      parts_.control.size(), slots, batch.step + 1);
}

/// A step that changed nothing; more of them in a row than a batch or two can explain are an error.
void Trainer::count_skipped(std::int64_t step, const std::string& reason) {
  if (parts_.control.rank() == 0) {
    progress_->finish();
    log_warning("step {} changed nothing: {}", step + 1, reason);
  }
  if (++skipped_in_a_row_ > kMaxSkippedInARow)
    throw AgreedError(fmt::format(
        "step {}: {} steps in a row changed nothing, the last for {}; lower optimizer.lr or look at the data",
        step + 1, skipped_in_a_row_, reason));
}

/// Reduces, judges and applies what was accumulated.
Trainer::StepOutcome Trainer::update(const StepBatch& batch, const StepSums& sums, double lr) {
  StepOutcome outcome;
  const auto without_update = [&](Trouble trouble) {
    parts_.optimizer.discard_gradients();
    outcome.result.skipped = true;
    outcome.result.grad_norm = std::nan("");
    outcome.trouble = trouble;
    return outcome;
  };
  outcome.loss = sums.uncountable > 0
                     ? std::nan("")
                     : loss_from_fixed(sums.loss) /
                           static_cast<double>(std::max<std::int64_t>(batch.supervised_tokens, 1));
  if (sums.uncountable > 0) return without_update(Trouble::kNonFinite);
  outcome.left_out = guard_.is_left_out(batch.step);
  if (outcome.left_out) return without_update(Trouble::kNone);
  if (guard_.is_spike(outcome.loss)) return without_update(Trouble::kLossSpike);
  outcome.result = parts_.optimizer.step(batch.supervised_tokens, lr);
  if (outcome.result.overflow()) outcome.trouble = Trouble::kNonFinite;
  return outcome;
}

/// Draws the consequences, alike on all ranks; collective. True: back to the last checkpoint.
bool Trainer::settle(const StepBatch& batch, const StepSums& sums, const StepOutcome& outcome) {
  if (outcome.trouble == Trouble::kNonFinite && scaler_ && lower_scale(batch, sums)) return false;
  if (outcome.trouble != Trouble::kNone) return guard_step(batch, sums, outcome);
  if (outcome.left_out) {
    if (parts_.control.rank() == 0) log_info("step {} is left out since a rewind", batch.step + 1);
    return false;
  }
  if (outcome.result.no_tokens) {
    count_skipped(batch.step, "no supervised tokens in its batch");
    return false;
  }
  skipped_in_a_row_ = 0;
  guard_.note(outcome.loss);
  if (scaler_) scaler_->update(false);
  return false;
}

/// An overflow of fp16. False where the scale cannot fall any further.
bool Trainer::lower_scale(const StepBatch& batch, const StepSums& sums) {
  const double before = scaler_->scale();
  scaler_->update(true);
  if (scaler_->scale() == before) return false;
  const std::string reason = describe_bad_slots(batch, sums.slots, parts_.optimizer, parts_.control);
  if (parts_.control.rank() == 0) {
    progress_->finish();
    log_warning("step {} changed nothing: {}; the loss scale falls from {} to {}", batch.step + 1, reason,
                before, scaler_->scale());
  }
  return true;
}

bool Trainer::guard_step(const StepBatch& batch, const StepSums& sums, const StepOutcome& outcome) {
  const bool spike = outcome.trouble == Trouble::kLossSpike;
  const char* key = spike ? "guard.loss_spike" : "guard.non_finite";
  std::string reason =
      spike ? fmt::format("its loss {:.4g} is {:.3g} times the median of the last {}, most of it in {}",
                          outcome.loss, outcome.loss / guard_.median(), guard_.options().spike_window,
                          describe_worst_slot(batch, sums.slots, parts_.control))
            : describe_bad_slots(batch, sums.slots, parts_.optimizer, parts_.control);
  if (!spike && scaler_)
    reason += fmt::format(
        "; fp16 overflows although the loss scale is at loss_scale.minimum ({}), which "
        "model.dtype = \"bf16\" or \"fp32\" in a new run.dir would avoid",
        scaler_->scale());
  const GuardPolicy policy = guard_.judge(batch.step, outcome.trouble);
  if (policy == GuardPolicy::kSkip) {
    count_skipped(batch.step, reason);
  } else if (policy == GuardPolicy::kRewind) {
    if (parts_.control.rank() == 0) {
      progress_->finish();
      log_warning("step {}: {}; back to the last checkpoint ({} of {}, guard.max_rewinds)", batch.step + 1,
                  reason, guard_.rewinds().size(), guard_.options().max_rewinds);
    }
    return true;
  } else {
    const GuardOptions& options = guard_.options();
    const bool used_up = (spike ? options.loss_spike : options.non_finite) == GuardPolicy::kRewind;
    throw AgreedError(
        fmt::format("step {}: {}; {}: look at these rows, lower optimizer.lr, or go on from the last "
                    "checkpoint with --set "
                    "{}=skip",
                    batch.step + 1, reason,
                    used_up ? fmt::format("guard.max_rewinds ({}) is used up", options.max_rewinds)
                            : fmt::format("{} = \"stop\"", key),
                    key));
  }
  return false;
}

Trainer::StepEnd Trainer::train_step(StepFeed& feed, std::int64_t step) {
  const auto begin = Clock::now();
  parts_.watchdog.enter(Phase::kData, step + 1);
  parts_.injection.at(FaultPhase::kStep, step + 1);
  const StepBatch batch = feed.next();
  require(batch.step == step, "the data feed delivered step {} instead of {}", batch.step, step);
  warn_of_idle_ranks(batch);
  const std::optional<double> loss_scale = scaler_ ? std::optional(scaler_->scale()) : std::nullopt;
  StepSums sums = accumulate(batch);
  parts_.injection.at(FaultPhase::kReduce, step + 1);
  parts_.watchdog.enter(Phase::kReduceScatter, step + 1);
  std::array words{sums.loss, sums.uncountable, sums.stop_requests, sums.ran.examples, sums.ran.digest};
  all_reduce(parts_.control, std::span<std::int64_t>(words), ReduceOp::kSum);
  // What the ledger says is what was run, not what was planned.
  const RowTally ran{words[3], words[4]}, planned = tally_of(batch);
  if (ran != planned)
    throw AgreedError(
        fmt::format("step {}: the ranks together ran {} examples, not the {} of its batch, or other ones",
                    step + 1, ran.examples, planned.examples));
  sums.loss = words[0], sums.uncountable = words[1], sums.stop_requests = words[2];
  const double lr = options_.lr * parts_.schedule.factor(step);
  const StepOutcome outcome = update(batch, sums, lr);
  parts_.trainable.bind(parts_.optimizer);
  if (settle(batch, sums, outcome)) return StepEnd::kRewind;
  tokens_seen_ += batch.tokens;
  report({.batch = batch,
          .outcome = outcome,
          .lr = lr,
          .seconds = seconds_since(begin),
          .loss_scale = loss_scale},
         feed.wait_seconds());
  return sums.stop_requests > 0 ? StepEnd::kStop : StepEnd::kGoOn;
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
                   .loss = report.outcome.loss,
                   .lr = report.lr,
                   .grad_norm = report.outcome.result.grad_norm,
                   .tokens_per_s = tokens_per_s,
                   .gemm_share = share,
                   .wait_share = waited / report.seconds,
                   .seconds_left = seconds_per_step_ * static_cast<double>(options_.total_steps - done)});
  OrderedJson record{{"step", done},
                     {"epoch", report.batch.epoch},
                     {"loss", report.outcome.loss},
                     {"lr", report.lr},
                     {"grad_norm", report.outcome.result.grad_norm},
                     {"tokens", report.batch.tokens},
                     {"supervised_tokens", report.batch.supervised_tokens},
                     {"examples", report.batch.examples()},
                     {"slots", report.batch.slots.size()},
                     {"tokens_per_s", tokens_per_s},
                     {"gemm_share", share},
                     {"step_s", report.seconds},
                     {"data_wait_s", waited},
                     {"tokens_seen", tokens_seen_}};
  if (report.loss_scale) record["loss_scale"] = *report.loss_scale;
  if (report.outcome.result.skipped) record["skipped"] = true;
  if (report.outcome.trouble != Trouble::kNone)
    record["skipped_for"] = std::string(trouble_name(report.outcome.trouble));
  else if (report.outcome.left_out)
    record["skipped_for"] = "rewind";
  parts_.metrics->write(record);
  parts_.ledger->write(ledger_record(report.batch, options_.rows, report.outcome.result.skipped));
}

double Trainer::validate(const ValidationSet& validation, std::int64_t done) {
  const auto begin = Clock::now();
  parts_.watchdog.enter(Phase::kValidation, done);
  parts_.injection.at(FaultPhase::kValidation, done);
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
  // Never a second copy in memory: a slow disk slows the training down.
  const std::optional<SaveResult> previous = parts_.saver.finish();
  warn_of_slow_save(previous, seconds_since(begin));
  note_saved(previous);
  CheckpointSnapshot snapshot;
  snapshot.step = done;
  snapshot.validation_loss = validation_loss;
  snapshot.optimizer = parts_.optimizer.snapshot();
  if (parts_.control.rank() == 0) snapshot.files = parts_.checkpoint_files(done);
  snapshot.trainer = parts_.trainer_json;
  snapshot.trainer["tokens_seen"] = tokens_seen_;
  snapshot.trainer["best_validation_losses"] = best_losses_.losses();
  snapshot.trainer["recent_losses"] = guard_.state();
  snapshot.trainer["rewinds"] = parse_json(rewinds_text(guard_.rewinds()), "rewinds");
  if (scaler_)
    snapshot.trainer["loss_scale"] = {{"scale", scaler_->scale()}, {"good_steps", scaler_->good_steps()}};
  const auto interval_end = Clock::now();  // before the save: the next interval has all of it
  parts_.saver.start(std::move(snapshot));
  const std::chrono::duration<double> interval = interval_end - std::exchange(interval_begin_, interval_end);
  save_cost_ = {.step = done, .blocking = seconds_since(begin), .interval = interval.count()};
}

/// Once a run: where training has waited for the save before.
void Trainer::warn_of_slow_save(const std::optional<SaveResult>& result, double waited) {
  constexpr double kShare = 0.1, kNotable = 0.5;  // of the interval; seconds
  if (!result || !result->saved || waited < std::max(kNotable, kShare * seconds_since(interval_begin_)))
    return;
  if (std::exchange(slow_save_told_, true) || parts_.control.rank() != 0) return;
  progress_->finish();
  log_warning(
      "training waited {:.1f} s until {} was written; slowest was rank {} on host {}, with {:.1f} s for its "
      "part; a faster disk or a larger checkpoint.every avoids that",
      waited, result->name, result->slowest.rank, result->slowest.host, result->slowest.seconds);
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
  waited_before_ = 0;
  skipped_in_a_row_ = 0;
  if (first_step == 0 && options_.guard.rewinds()) save(0, std::nullopt);  // what the first rewind may need
  for (std::int64_t step = first_step; step < options_.total_steps; ++step) {
    const StepEnd end = train_step(feed, step);
    if (end == StepEnd::kRewind) {
      note_saved(parts_.saver.finish());
      return TrainEnd::kRewind;
    }
    const bool stop = end == StepEnd::kStop;
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
    if (!last_save_worked_)
      throw AgreedError(
          fmt::format("stopped on request after step {}, but no checkpoint could be written", done));
    return TrainEnd::kInterrupted;
  }
  return TrainEnd::kFinished;
}

}  // namespace ranktune
