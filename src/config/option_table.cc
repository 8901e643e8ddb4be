// The one place that declares what can be configured. Defaults come from RunConfig itself.
#include <limits>

#include "config/option.h"

namespace ranktune {
namespace {

constexpr double kManySteps = 1e12;
constexpr double kMaxInteger = 9007199254740992.0;  // 2^53: what a double and JSON hold exactly

Range from_to(double low, double high) { return {.low = low, .high = high}; }
Range above_to(double low, double high) { return {.low = low, .high = high, .low_open = true}; }
Range from_below(double low, double high) { return {.low = low, .high = high, .high_open = true}; }

const char* unless_lora(const RunConfig& c) {
  return c.train.method == "lora" ? nullptr : "train.method is \"full\"";
}
const char* unless_saving(const RunConfig& c) {
  if (unless_lora(c) != nullptr) return unless_lora(c);
  return c.lora.modules_to_save.empty() ? "lora.modules_to_save is empty" : nullptr;
}
const char* unless_tokens(const RunConfig& c) {
  if (unless_lora(c) != nullptr) return unless_lora(c);
  return c.lora.trainable_tokens.empty() && c.lora.trainable_token_indices.empty()
             ? "no token is named in lora.trainable_tokens or lora.trainable_token_indices"
             : nullptr;
}
const char* unless_ratio(const RunConfig& c) {
  return c.schedule.warmup_steps > 0 ? "schedule.warmup_steps is set" : nullptr;
}
const char* unless_falling(const RunConfig& c) {
  return c.schedule.kind == "constant" ? "schedule.kind is \"constant\"" : nullptr;
}
const char* unless_fp16(const RunConfig& c) {
  return c.model.dtype == "fp16" ? nullptr : "model.dtype is not \"fp16\"";
}
const char* unless_spikes(const RunConfig& c) {
  return c.guard.loss_spike == "off" ? "guard.loss_spike is \"off\"" : nullptr;
}
const char* unless_rewinding(const RunConfig& c) {
  return c.guard.non_finite == "rewind" || c.guard.loss_spike == "rewind" ? nullptr
                                                                          : "no guard is set to \"rewind\"";
}
const char* unless_validating(const RunConfig& c) {
  return c.data.validation.empty() ? "data.validation is not set" : nullptr;
}

std::vector<Option> place_and_model() {
  return {
      {.name = "device",
       .meaning = "what to compute on; auto: GPUs where there are any, else CPU cores",
       .field = [](RunConfig& c) -> OptionField { return &c.device; },
       .choices = {"auto", "cpu", "cuda"},
       .affects_result = false},
      {.name = "reduce",
       .meaning =
           "how gradients are summed; exact: the same bits on any number of ranks; fp32: half the bytes",
       .field = [](RunConfig& c) -> OptionField { return &c.reduce; },
       .choices = {"exact", "fp32"}},
      {.name = "run.dir",
       .meaning =
           "folder for the adapter, metrics and checkpoints; relative paths start at the current folder",
       .field = [](RunConfig& c) -> OptionField { return &c.run.dir; },
       .required = true,
       .affects_result = false},
      {.name = "run.seed",
       .meaning = "decides the order of the examples, dropout and the new adapter's first values",
       .field = [](RunConfig& c) -> OptionField { return &c.run.seed; },
       .range = from_to(0, kMaxInteger)},
      {.name = "model.path",
       .meaning = "folder of the base model (config.json, safetensors, tokenizer), from the current folder",
       .field = [](RunConfig& c) -> OptionField { return &c.model.path; },
       .required = true},
      {.name = "model.dtype",
       .meaning =
           "number format of the computation; trained weights and their optimizer are fp32 in any case",
       .field = [](RunConfig& c) -> OptionField { return &c.model.dtype; },
       .choices = {"bf16", "fp16", "fp32"}},
      {.name = "model.read",
       .meaning = "who reads the weights: every rank, one rank of each node, or rank 0, which sends them on",
       .field = [](RunConfig& c) -> OptionField { return &c.model.read; },
       .choices = {"all", "node", "rank0"},
       .affects_result = false},
      {.name = "model.adapter",
       .meaning = "folder of an adapter to go on training from; empty: a new one",
       .field = [](RunConfig& c) -> OptionField { return &c.model.adapter; },
       .unused = unless_lora},
  };
}

std::vector<Option> data_and_batch() {
  return {
      {.name = "data.train",
       .meaning = "training data from `ranktune prep`: NAME.h5, which also stands for all shards of NAME",
       .field = [](RunConfig& c) -> OptionField { return &c.data.train; },
       .required = true},
      {.name = "data.validation",
       .meaning = "held-out data for the validation loss, likewise; empty: none",
       .field = [](RunConfig& c) -> OptionField { return &c.data.validation; },
       .affects_result = false},
      {.name = "data.template",
       .meaning = "chat template the data must have been made with; auto: the model's own",
       .field = [](RunConfig& c) -> OptionField { return &c.data.template_name; }},
      {.name = "batch.tokens_per_slot",
       .meaning =
           "tokens computed at once: examples are packed into slots of this size, and none may be longer "
           "(`ranktune prep --max-length`); more needs more memory",
       .field = [](RunConfig& c) -> OptionField { return &c.batch.tokens_per_slot; },
       .range = from_to(8, 1 << 20)},
      {.name = "batch.sequences_per_step",
       .meaning = "examples per update, over all ranks (elsewhere: batch x accumulation x ranks)",
       .field = [](RunConfig& c) -> OptionField { return &c.batch.sequences_per_step; },
       .range = from_to(1, 1 << 20)},
  };
}

std::vector<Option> training() {
  return {
      {.name = "train.method",
       .meaning = "lora: a small adapter beside frozen weights; full: every weight",
       .field = [](RunConfig& c) -> OptionField { return &c.train.method; },
       .choices = {"lora", "full"}},
      {.name = "train.epochs",
       .meaning = "passes over the data, parts of one allowed; 0: train.max_steps decides alone",
       .field = [](RunConfig& c) -> OptionField { return &c.train.epochs; },
       .range = from_to(0, 1e6)},
      {.name = "train.max_steps",
       .meaning = "updates after which training ends at the latest; 0: train.epochs decides alone",
       .field = [](RunConfig& c) -> OptionField { return &c.train.max_steps; },
       .range = from_to(0, kManySteps)},
      {.name = "train.validate_every",
       .meaning = "steps from one validation loss to the next; 0: at the end of each epoch",
       .field = [](RunConfig& c) -> OptionField { return &c.train.validate_every; },
       .range = from_to(0, kManySteps),
       .affects_result = false,
       .unused = unless_validating},
      {.name = "train.log_every",
       .meaning = "steps from one progress line to the next (metrics.jsonl has every step)",
       .field = [](RunConfig& c) -> OptionField { return &c.train.log_every; },
       .range = from_to(1, kManySteps),
       .affects_result = false},
      {.name = "train.recompute",
       .meaning = "compute each layer's inner values again in the backward pass: less memory, slower",
       .field = [](RunConfig& c) -> OptionField { return &c.train.recompute; },
       .affects_result = false},
      {.name = "train.threads",
       .meaning =
           "CPU threads of each rank; 0: OMP_NUM_THREADS where that is set, else its share of the cores",
       .field = [](RunConfig& c) -> OptionField { return &c.train.threads; },
       .range = from_to(0, 1024),
       .affects_result = false},
  };
}

std::vector<Option> adapter() {
  return {
      {.name = "lora.rank",
       .meaning = "width of the adapter's matrices (r); more can learn more and forget more",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.rank; },
       .range = from_to(1, 65536),
       .unused = unless_lora},
      {.name = "lora.alpha",
       .meaning = "strength of the adapter: it is added with the factor alpha / rank",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.alpha; },
       .range = above_to(0, 1e6),
       .unused = unless_lora},
      {.name = "lora.dropout",
       .meaning = "share of the adapter's input values set to zero while training",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.dropout; },
       .range = from_below(0, 1),
       .unused = unless_lora},
      {.name = "lora.targets",
       .meaning =
           "modules that get an adapter: ends of their names, \"re:\" and an expression for whole names, "
           "all-linear (every one but the head), or auto (the model family's usual ones)",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.targets; },
       .required = true,
       .unused = unless_lora},
      {.name = "lora.exclude_modules",
       .meaning = "modules among lora.targets that get none, written the same way",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.exclude_modules; },
       .unused = unless_lora},
      {.name = "lora.layers_to_transform",
       .meaning = "numbers of the layers, from 0, whose targets get an adapter; empty: all layers",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.layers_to_transform; },
       .range = from_to(0, 65535),
       .unused = unless_lora},
      {.name = "lora.rank_pattern",
       .meaning = "other ranks for single modules: ends of names (expressions allowed) and their rank",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.rank_pattern; },
       .range = from_to(1, 65536),
       .unused = unless_lora},
      {.name = "lora.alpha_pattern",
       .meaning = "other alphas for single modules, written the same way",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.alpha_pattern; },
       .range = above_to(0, 1e6),
       .unused = unless_lora},
      {.name = "lora.rslora",
       .meaning = "use the factor alpha / sqrt(rank) instead, for high ranks",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.rslora; },
       .unused = unless_lora},
      {.name = "lora.dora",
       .meaning = "learn the length of each row of the weights apart from its direction (DoRA); slower",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.dora; },
       .unused = unless_lora},
      {.name = "lora.init",
       .meaning =
           "how a new adapter starts: default, gaussian, pissa (the weights' principal parts; slow for large "
           "models), or pissa_niter_N (found in N quick rounds; 4 or 16 will do)",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.init; },
       .required = true,
       .unused = unless_lora},
      {.name = "lora.plus_ratio",
       .meaning = "learning rate of the matrices B as a multiple of that of A (LoRA+, which advises 16); 1: "
                  "the same",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.plus_ratio; },
       .range = from_to(1, 1e4),
       .unused = unless_lora},
  };
}

/// What is trained whole beside the adapter.
std::vector<Option> beside_adapter() {
  return {
      {.name = "lora.modules_to_save",
       .meaning = "modules that are trained whole beside the adapter and saved in it, by the ends of their "
                  "names: embed_tokens, lm_head, norm …",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.modules_to_save; },
       .unused = unless_lora},
      {.name = "lora.ensure_weight_tying",
       .meaning =
           "where the model's head is its embedding, lora.modules_to_save keeps them one matrix instead "
           "of parting them",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.ensure_weight_tying; },
       .unused = unless_saving},
      {.name = "lora.trainable_tokens",
       .meaning =
           "single tokens, such as \"<|im_end|>\", whose rows are trained beside the adapter: what a base "
           "model never learned to write",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.trainable_tokens; },
       .unused = unless_lora},
      {.name = "lora.trainable_token_indices",
       .meaning = "more such tokens, by their ids",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.trainable_token_indices; },
       .range = from_to(0, 1 << 30),
       .unused = unless_lora},
      {.name = "lora.trainable_token_modules",
       .meaning =
           "where their rows are trained: ends of the embedding's and the head's names; empty: in both",
       .field = [](RunConfig& c) -> OptionField { return &c.lora.trainable_token_modules; },
       .unused = unless_tokens},
  };
}

std::vector<Option> optimization() {
  return {
      {.name = "optimizer.lr",
       .meaning = "learning rate at its highest",
       .field = [](RunConfig& c) -> OptionField { return &c.optimizer.lr; },
       .range = above_to(0, 10)},
      {.name = "optimizer.weight_decay",
       .meaning = "AdamW's pull of the weights towards zero, apart from the gradient",
       .field = [](RunConfig& c) -> OptionField { return &c.optimizer.weight_decay; },
       .range = from_to(0, 10)},
      {.name = "optimizer.betas",
       .meaning = "AdamW's memory of past gradients and of their squares",
       .field = [](RunConfig& c) -> OptionField { return &c.optimizer.betas; },
       .range = from_below(0, 1)},
      {.name = "optimizer.eps",
       .meaning = "AdamW's guard against division by zero",
       .field = [](RunConfig& c) -> OptionField { return &c.optimizer.eps; },
       .range = above_to(0, 1)},
      {.name = "optimizer.max_grad_norm",
       .meaning = "gradients longer than this are scaled down to it; 0: never",
       .field = [](RunConfig& c) -> OptionField { return &c.optimizer.max_grad_norm; },
       .range = from_to(0, 1e9)},
      {.name = "schedule.kind",
       .meaning = "how the learning rate goes on after the warm-up",
       .field = [](RunConfig& c) -> OptionField { return &c.schedule.kind; },
       .choices = {"constant", "linear", "cosine"}},
      {.name = "schedule.warmup_ratio",
       .meaning = "share of all steps in which the learning rate rises from zero",
       .field = [](RunConfig& c) -> OptionField { return &c.schedule.warmup_ratio; },
       .range = from_to(0, 1),
       .unused = unless_ratio},
      {.name = "schedule.warmup_steps",
       .meaning = "the same as a number of steps; 0: schedule.warmup_ratio decides",
       .field = [](RunConfig& c) -> OptionField { return &c.schedule.warmup_steps; },
       .range = from_to(0, kManySteps)},
      {.name = "schedule.min_lr_ratio",
       .meaning = "where linear and cosine end, as a share of optimizer.lr",
       .field = [](RunConfig& c) -> OptionField { return &c.schedule.min_lr_ratio; },
       .range = from_to(0, 1),
       .unused = unless_falling},
      {.name = "loss_scale.initial",
       .meaning =
           "what the mean loss is multiplied by at first, so that small gradients do not vanish in fp16; "
           "a power of two, halved when a gradient overflows (such steps change nothing)",
       .field = [](RunConfig& c) -> OptionField { return &c.loss_scale.initial; },
       .range = from_to(0x1p-30, 0x1p30),
       .unused = unless_fp16},
      {.name = "loss_scale.growth_interval",
       .meaning = "steps in a row without overflow after which the scale is doubled",
       .field = [](RunConfig& c) -> OptionField { return &c.loss_scale.growth_interval; },
       .range = from_to(1, kManySteps),
       .unused = unless_fp16},
      {.name = "loss_scale.minimum",
       .meaning = "the scale's lower end, a power of two; an overflow at it ends the training",
       .field = [](RunConfig& c) -> OptionField { return &c.loss_scale.minimum; },
       .range = from_to(0x1p-30, 0x1p30),
       .affects_result = false,
       .unused = unless_fp16},
  };
}

// None of these is held against a checkpoint: after a stop one goes on with another policy.
std::vector<Option> guards() {
  return {
      {.name = "guard.non_finite",
       .meaning =
           "what to do about a step with NaN or infinity (in fp16: at the smallest loss scale): leave its "
           "update out, go back to the last checkpoint and leave it out if it comes again, or end; more "
           "than 20 steps in a row without an update end the run",
       .field = [](RunConfig& c) -> OptionField { return &c.guard.non_finite; },
       .choices = {"skip", "rewind", "stop"},
       .affects_result = false},
      {.name = "guard.loss_spike",
       .meaning =
           "the same for a step whose loss jumps up; rewind also leaves out the step before it, of the "
           "next spike three before it, and so on",
       .field = [](RunConfig& c) -> OptionField { return &c.guard.loss_spike; },
       .choices = {"off", "skip", "rewind", "stop"},
       .affects_result = false},
      {.name = "guard.spike_factor",
       .meaning = "a loss this many times the median of the losses before it is a spike",
       .field = [](RunConfig& c) -> OptionField { return &c.guard.spike_factor; },
       .range = above_to(1, 1e6),
       .affects_result = false,
       .unused = unless_spikes},
      {.name = "guard.spike_window",
       .meaning = "how many steps' losses that median is of; before there are so many none is a spike",
       .field = [](RunConfig& c) -> OptionField { return &c.guard.spike_window; },
       .range = from_to(1, 100000),
       .affects_result = false,
       .unused = unless_spikes},
      {.name = "guard.max_rewinds",
       .meaning = "returns to a checkpoint in one run, restarts included; the next one would end it",
       .field = [](RunConfig& c) -> OptionField { return &c.guard.max_rewinds; },
       .range = from_to(1, 1000),
       .affects_result = false,
       .unused = unless_rewinding},
  };
}

std::vector<Option> machinery() {
  return {
      {.name = "zero.stage",
       .meaning = "what the ranks divide among them; 2: gradients and optimizer state",
       .field = [](RunConfig& c) -> OptionField { return &c.zero.stage; },
       .range = from_to(2, 2),
       .affects_result = false},
      {.name = "checkpoint.every",
       .meaning =
           "steps from one checkpoint to the next; 0: only at the end, when asked to stop and for keep_best",
       .field = [](RunConfig& c) -> OptionField { return &c.checkpoint.every; },
       .range = from_to(0, kManySteps),
       .affects_result = false},
      {.name = "checkpoint.keep",
       .meaning = "newest checkpoints that are kept",
       .field = [](RunConfig& c) -> OptionField { return &c.checkpoint.keep; },
       .range = from_to(1, 1e6),
       .affects_result = false},
      {.name = "checkpoint.keep_best",
       .meaning = "checkpoints of the lowest validation losses that are kept as well; 0: none",
       .field = [](RunConfig& c) -> OptionField { return &c.checkpoint.keep_best; },
       .range = from_to(0, 1e6),
       .affects_result = false,
       .unused = unless_validating,
       .formerly = "checkpoint.best"},
      {.name = "comm.timeout",
       .meaning = "seconds after which a rank that does not answer, or does not start, ends the job",
       .field = [](RunConfig& c) -> OptionField { return &c.comm.timeout; },
       .range = from_to(1, 86400),
       .affects_result = false},
      {.name = "comm.share_gpu",
       .meaning = "let several ranks use one GPU (slow; for trying things out)",
       .field = [](RunConfig& c) -> OptionField { return &c.comm.share_gpu; },
       .affects_result = false},
  };
}

}  // namespace

const std::vector<Option>& options() {
  static const std::vector<Option> table = [] {
    std::vector<Option> all;
    for (auto part : {place_and_model, data_and_batch, training, adapter, beside_adapter, optimization,
                      guards, machinery})
      for (Option& option : part()) all.push_back(std::move(option));
    return all;
  }();
  return table;
}

}  // namespace ranktune
