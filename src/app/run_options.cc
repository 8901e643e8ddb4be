#include "app/run_options.h"

#include <algorithm>
#include <optional>
#include <string>

#include "app/training_data.h"

namespace ranktune {
namespace {

std::optional<LossScaleOptions> loss_scale_options(const RunConfig& config) {
  if (config.model.dtype != "fp16") return std::nullopt;
  return LossScaleOptions{.initial = config.loss_scale.initial,
                          .growth_interval = config.loss_scale.growth_interval,
                          .minimum = config.loss_scale.minimum};
}

}  // namespace

CommOptions comm_options(const RunConfig& config) {
  CommOptions options;
  options.timeout = static_cast<double>(config.comm.timeout);
  options.heartbeat = std::min(1.0, options.timeout / 4);
  options.share_gpu = config.comm.share_gpu;
  return options;
}

StepStreamOptions stream_options(const RunConfig& config, bool validation) {
  return {.seed = static_cast<std::uint64_t>(config.run.seed),
          .sequences_per_step = config.batch.sequences_per_step,
          .tokens_per_slot = config.batch.tokens_per_slot,
          .start_step = 0,
          .shuffle = !validation,
          .one_epoch = validation};
}

Zero2Setup optimizer_setup(const RunConfig& config, const TrainableSet& trainable, torch::Device device) {
  return {.layout = trainable.layout(),
          .zero = {.stage = static_cast<int>(config.zero.stage),
                   .reduce = config.reduce == "exact" ? GradientReduce::kExact : GradientReduce::kFp32,
                   .max_grad_norm = config.optimizer.max_grad_norm},
          .adamw = {.lr = config.optimizer.lr,
                    .beta1 = config.optimizer.betas[0],
                    .beta2 = config.optimizer.betas[1],
                    .eps = config.optimizer.eps,
                    .weight_decay = config.optimizer.weight_decay},
          .device = device,
          .working_dtype = trainable.working_dtype()};
}

ScheduleOptions schedule_options(const RunConfig& config) {
  const std::string& kind = config.schedule.kind;
  return {.kind = kind == "constant" ? ScheduleKind::kConstant
                  : kind == "linear" ? ScheduleKind::kLinear
                                     : ScheduleKind::kCosine,
          .warmup_ratio = config.schedule.warmup_ratio,
          .warmup_steps = config.schedule.warmup_steps > 0 ? config.schedule.warmup_steps : -1,
          .min_lr_ratio = config.schedule.min_lr_ratio};
}

CheckpointOptions checkpoint_options(const RunConfig& config) {
  return {.every = config.checkpoint.every,
          .keep = config.checkpoint.keep,
          .keep_best = config.checkpoint.keep_best};
}

TrainerOptions trainer_options(const RunConfig& config, const DataFacts& facts,
                               const std::vector<Rewind>& rewinds) {
  return {
      .seed = static_cast<std::uint64_t>(config.run.seed),
      .total_steps = facts.total_steps,
      .rows = facts.rows,
      .validate_every = config.train.validate_every > 0 ? config.train.validate_every : facts.steps_per_epoch,
      .log_every = config.train.log_every,
      .lr = config.optimizer.lr,
      .recompute = config.train.recompute,
      .loss_scale = loss_scale_options(config),
      .guard = {.non_finite = guard_policy_of(config.guard.non_finite),
                .loss_spike = guard_policy_of(config.guard.loss_spike),
                .spike_factor = config.guard.spike_factor,
                .spike_window = config.guard.spike_window,
                .max_rewinds = config.guard.max_rewinds},
      .rewinds = rewinds};
}

}  // namespace ranktune
