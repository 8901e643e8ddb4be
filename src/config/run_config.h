#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ranktune {

/// The settings of one training run, as plain values. Defaults stand here and only here; names, ranges and
/// meanings stand in option_table.cc. Paths are as the user wrote them, relative ones from the current
/// folder.
struct RunSection {
  std::string dir;
  std::int64_t seed = 42;
};

struct ModelConfig {
  std::string path;
  std::string dtype = "bf16";  ///< fp32 | bf16 | fp16: what is computed in; trained weights are fp32 always
  std::string read = "all";    ///< all | node | rank0: who reads the weight files
  std::string adapter;         ///< "": start from a new adapter
};

struct DataConfig {
  std::vector<std::string> train;       ///< one name, which stands for all its shards
  std::vector<std::string> validation;  ///< may be empty
  std::string template_name = "auto";
};

struct TrainConfig {
  std::string method = "lora";      ///< lora | full
  double epochs = 3;                ///< 0: max_steps decides
  std::int64_t max_steps = 0;       ///< 0: epochs decide; the smaller of both ends the run
  std::int64_t validate_every = 0;  ///< steps; 0: at the end of each epoch
  std::int64_t log_every = 1;
  bool recompute = false;
  std::int64_t threads = 0;  ///< 0: the rank's share of the machine's cores
};

struct BatchConfig {
  std::int64_t tokens_per_slot = 1024;
  std::int64_t sequences_per_step = 16;
};

struct LoraConfig {
  std::int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;
  std::vector<std::string> targets{"auto"};  ///< "auto": the family's usual ones
  std::vector<std::string> exclude_modules;
  std::vector<std::int64_t> layers_to_transform;     ///< empty: all
  std::map<std::string, std::int64_t> rank_pattern;  ///< ranks of single modules
  std::map<std::string, double> alpha_pattern;       ///< alphas of single modules
  bool rslora = false;
  bool dora = false;
  std::string init = "default";                       ///< default | gaussian | pissa | pissa_niter_N
  double plus_ratio = 1;                              ///< LoRA+: learning rate of B as a multiple of A's
  std::vector<std::string> modules_to_save;           ///< trained whole beside the adapter
  bool ensure_weight_tying = false;                   ///< of modules_to_save
  std::vector<std::string> trainable_tokens;          ///< texts of single tokens whose rows are trained
  std::vector<std::int64_t> trainable_token_indices;  ///< ids of more of them
  std::vector<std::string> trainable_token_modules;   ///< empty: the embedding and the head
};

struct OptimizerConfig {
  double lr = 1e-4;
  double weight_decay = 0;
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  double max_grad_norm = 1;  ///< 0: no clipping
};

struct ScheduleConfig {
  std::string kind = "cosine";    ///< constant | linear | cosine
  double warmup_ratio = 0.03;     ///< share of all steps; without effect where warmup_steps > 0
  std::int64_t warmup_steps = 0;  ///< 0: warmup_ratio decides
  double min_lr_ratio = 0;
};

struct LossScaleConfig {
  double initial = 65536;
  std::int64_t growth_interval = 2000;
  double minimum = 1;
};

struct GuardConfig {
  std::string non_finite = "stop";  ///< skip | rewind | stop
  std::string loss_spike = "off";   ///< off | skip | rewind | stop
  double spike_factor = 3;
  std::int64_t spike_window = 50;  ///< steps
  std::int64_t max_rewinds = 3;
};

struct ZeroConfig {
  std::int64_t stage = 2;
};

struct CheckpointConfig {
  std::int64_t every = 100;  ///< steps; 0: only at the end and when stopped
  std::int64_t keep = 3;
  std::int64_t keep_best = 1;  ///< 0: none for its validation loss
};

struct CommConfig {
  std::int64_t timeout = 600;  ///< seconds
  bool share_gpu = false;
};

struct RunConfig {
  std::string device = "auto";   ///< auto | cpu | cuda
  std::string reduce = "exact";  ///< exact | fp32
  RunSection run;
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  BatchConfig batch;
  LoraConfig lora;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  LossScaleConfig loss_scale;
  GuardConfig guard;
  ZeroConfig zero;
  CheckpointConfig checkpoint;
  CommConfig comm;
};

}  // namespace ranktune
