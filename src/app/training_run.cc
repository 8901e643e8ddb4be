#include "app/training_run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "app/run_folder.h"
#include "base/log.h"
#include "checkpoint/find_latest.h"
#include "checkpoint/retention.h"
#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "config/describe.h"
#include "data/step_stream.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "model/lora.h"
#include "model/lora_init.h"
#include "model/module_match.h"
#include "tensor/buffer_of.h"
#include "text/chat_template.h"
#include "text/stop_tokens.h"
#include "train/share_model_files.h"
#include "train/stop_signal.h"
#include "train/trainer.h"

namespace ranktune {
namespace {

CommOptions comm_options(const RunConfig& config) {
  CommOptions options;
  options.timeout = static_cast<double>(config.comm.timeout);
  options.heartbeat = std::min(1.0, options.timeout / 4);
  options.share_gpu = config.comm.share_gpu;
  return options;
}

/// OMP_NUM_THREADS, which launchers set, else the rank's share of the machine's cores.
void set_threads(const MpiSession& session, const RunConfig& config) {
  const auto cores = std::max(1u, std::thread::hardware_concurrency());
  const char* from_launcher = std::getenv("OMP_NUM_THREADS");
  std::int64_t threads = config.train.threads;
  if (threads == 0 && from_launcher != nullptr) threads = std::strtol(from_launcher, nullptr, 10);
  if (threads <= 0) threads = std::max(1, static_cast<int>(cores) / session.local_size());
  at::set_num_threads(static_cast<int>(threads));
  at::set_num_interop_threads(1);
}

const std::string& only_path(const std::vector<std::string>& paths, const char* key) {
  require(paths.size() == 1,
          "{} names {} data sets; give the name of one (NAME.h5 also stands for all shards of NAME)", key,
          paths.size());
  return paths.front();
}

/// What rank 0 reads of the data and model, and tells the others.
struct DataFacts {
  std::int64_t steps_per_epoch = 0, total_steps = 0, rows = 0;
  std::string base_fingerprint, tokenizer_fingerprint, template_name, template_fingerprint, data_hash;
};

StepStreamOptions stream_options(const RunConfig& config, bool validation) {
  return {.seed = static_cast<std::uint64_t>(config.run.seed),
          .sequences_per_step = config.batch.sequences_per_step,
          .tokens_per_slot = config.batch.tokens_per_slot,
          .start_step = 0,
          .shuffle = !validation,
          .one_epoch = validation};
}

std::int64_t total_steps(const RunConfig& config, const StepStream& stream) {
  const std::int64_t by_epochs = config.train.epochs > 0 ? stream.steps_for(config.train.epochs) : 0;
  if (by_epochs == 0) return config.train.max_steps;
  return config.train.max_steps > 0 ? std::min(by_epochs, config.train.max_steps) : by_epochs;
}

LoraOptions lora_options(const LoraConfig& config) {
  LoraOptions options{.rank = config.rank,
                      .alpha = config.alpha,
                      .dropout = config.dropout,
                      .targets = parse_selection(config.targets),
                      .exclude = parse_selection(config.exclude_modules),
                      .layers_to_transform = config.layers_to_transform,
                      .use_rslora = config.rslora,
                      .use_dora = config.dora,
                      .init = config.init};
  pissa_method(options.init);  // refuses other text
  options.rank_pattern.assign(config.rank_pattern.begin(), config.rank_pattern.end());
  options.alpha_pattern.assign(config.alpha_pattern.begin(), config.alpha_pattern.end());
  return options;
}

/// One training run's objects in the order in which they depend on each other; destroyed in reverse.
class TrainingRun {
 public:
  TrainingRun(const MpiSession& session, const RunConfig& config)
      : session_(session),
        config_(config),
        comm_(comm_options(config)),
        folder_(config.run.dir),
        watchdog_(session, comm_),
        control_(make_control_communicator(session, comm_, watchdog_.activity())) {}

  int run(const TrainingRunOptions& options);

 private:
  bool root() const { return session_.rank() == 0; }
  void set_up(const TrainingRunOptions& options);
  void read_data_facts(const TrainingRunOptions& options);
  void share_data_facts(const TrainingRunOptions& options);
  void open_model();
  void load_model_and_adapter();
  void make_optimizer();
  void start_from_principal_parts();
  std::int64_t resume(const TrainingRunOptions& options);
  Trainer::ValidationSet read_validation();
  TrainerParts trainer_parts();
  std::vector<torch::Tensor> current_values() const;
  AdapterOrigin adapter_origin(std::int64_t step) const;
  std::vector<CheckpointFile> checkpoint_files(std::int64_t step);
  void make_saver();
  void write_result();
  void say_what_will_happen(std::int64_t first_step) const;
  StepFeed make_feed(std::int64_t first_step);

  const MpiSession& session_;
  const RunConfig& config_;
  CommOptions comm_;
  RunFolder folder_;
  Watchdog watchdog_;
  std::unique_ptr<Communicator> control_;
  StopSignal stop_signal_;
  torch::Device device_ = torch::kCPU;
  std::unique_ptr<Communicator> data_plane_;
  std::optional<ModelFiles> model_files_;
  std::unique_ptr<ShardReader> reader_;  // rank 0
  std::unique_ptr<StepStream> stream_;   // rank 0
  DataFacts facts_;
  std::unique_ptr<Decoder> decoder_;
  LoraOptions lora_;
  std::unique_ptr<TrainableSet> trainable_;
  std::unique_ptr<Zero2Optimizer> optimizer_;
  std::unique_ptr<LrSchedule> schedule_;
  std::unique_ptr<MetricsLog> metrics_;  // rank 0
  std::unique_ptr<MetricsLog> ledger_;   // rank 0
  std::unique_ptr<LoadedCheckpoint> checkpoint_;
  std::int64_t first_step_ = 0;
  Trainer::ValidationSet validation_;
  Activity saver_network_;
  std::unique_ptr<BackgroundSaver> saver_;
};

void TrainingRun::read_data_facts(const TrainingRunOptions& options) {
  const Path model(config_.model.path);
  const auto tokenizer = Tokenizer::load(model);
  const ChatTemplate chat_template = ChatTemplate::load(model, config_.data.template_name);
  load_stop_tokens(model, *tokenizer, chat_template,
                   options.allow_template_mismatch ? TemplateMismatch::kWarn : TemplateMismatch::kRefuse);
  reader_ = std::make_unique<ShardReader>(Path(only_path(config_.data.train, "data.train")));
  reader_->require_made_for(tokenizer->fingerprint(), chat_template.fingerprint());
  stream_ = std::make_unique<StepStream>(*reader_, stream_options(config_, false));
  facts_ = {.steps_per_epoch = stream_->steps_per_epoch(),
            .total_steps = total_steps(config_, *stream_),
            .rows = reader_->rows(),
            .base_fingerprint = {},
            .tokenizer_fingerprint = tokenizer->fingerprint(),
            .template_name = chat_template.name(),
            .template_fingerprint = chat_template.fingerprint(),
            .data_hash = reader_->set_hash()};
}

void TrainingRun::share_data_facts(const TrainingRunOptions& options) {
  together(*control_, [&] {
    if (root()) read_data_facts(options);
  });
  std::vector<std::int64_t> numbers{facts_.steps_per_epoch, facts_.total_steps, facts_.rows};
  broadcast_vector(*control_, numbers, 0);
  facts_.steps_per_epoch = numbers[0], facts_.total_steps = numbers[1], facts_.rows = numbers[2];
  for (std::string* text : {&facts_.tokenizer_fingerprint, &facts_.template_name,
                            &facts_.template_fingerprint, &facts_.data_hash})
    broadcast_bytes(*control_, *text, 0);
}

/// The model's files on every rank, and what they are recognised by.
void TrainingRun::open_model() {
  const auto node = make_node_communicator(session_, comm_, watchdog_.activity());
  const auto node_heads = make_node_heads_communicator(session_, comm_, watchdog_.activity());
  try {
    model_files_ = share_model_files(config_.model.path, model_read_of(config_.model.read),
                                     {.world = *control_,
                                      .node = *node,
                                      .node_heads = node_heads.get(),
                                      .activity = watchdog_.activity()});
  } catch (const Error& error) {
    throw AgreedError(error.what(), error.kind());
  }
  together(*control_, [this] {
    if (root())
      facts_.base_fingerprint = weights_fingerprint(*model_files_->weights, [this] { watchdog_.progress(); });
  });
  broadcast_bytes(*control_, facts_.base_fingerprint, 0);
}

void TrainingRun::load_model_and_adapter() {
  watchdog_.enter(Phase::kLoadModel, 0);
  together(*control_, [this] {
    // What is wrong in it is said before the long wait.
    const LoraOptions wanted = lora_options(config_.lora);
    decoder_ = load_model({.folder = config_.model.path,
                           .dtype = compute_dtype(config_.model.dtype),
                           .device = device_,
                           .files = std::exchange(model_files_, std::nullopt),
                           .check = {.part = session_.local_rank(), .parts = session_.local_size()},
                           .progress = [this] { watchdog_.progress(); }});
    if (config_.train.method == "full") {
      require(config_.model.adapter.empty(),
              "model.adapter is \"{}\", but train.method = \"full\" trains no adapter",
              config_.model.adapter);
    } else if (!config_.model.adapter.empty()) {
      lora_ = load_adapter(*decoder_, config_.model.adapter);
      const AdapterOrigin origin = read_adapter_origin(config_.model.adapter);
      require(origin.base_fingerprint.empty() || origin.base_fingerprint == facts_.base_fingerprint,
              "adapter {} was trained on other weights ({}) than those of {}", config_.model.adapter,
              origin.base_model, config_.model.path);
    } else {
      lora_ = resolve_targets(*decoder_, wanted);
      check_targets(*decoder_, lora_);
      add_lora(*decoder_, lora_, static_cast<std::uint64_t>(config_.run.seed));
    }
    trainable_ = std::make_unique<TrainableSet>(*decoder_, config_.lora.plus_ratio);
  });
}

void TrainingRun::make_optimizer() {
  Zero2Setup setup{
      .layout = trainable_->layout(),
      .zero = {.stage = static_cast<int>(config_.zero.stage),
               .reduce = config_.reduce == "exact" ? GradientReduce::kExact : GradientReduce::kFp32,
               .max_grad_norm = config_.optimizer.max_grad_norm},
      .adamw = {.lr = config_.optimizer.lr,
                .beta1 = config_.optimizer.betas[0],
                .beta2 = config_.optimizer.betas[1],
                .eps = config_.optimizer.eps,
                .weight_decay = config_.optimizer.weight_decay},
      .device = device_,
      .working_dtype = trainable_->working_dtype()};
  optimizer_ = std::make_unique<Zero2Optimizer>(std::move(setup), *data_plane_);
  const std::string& kind = config_.schedule.kind;
  const ScheduleOptions schedule{
      .kind = kind == "constant" ? ScheduleKind::kConstant
              : kind == "linear" ? ScheduleKind::kLinear
                                 : ScheduleKind::kCosine,
      .warmup_ratio = config_.schedule.warmup_ratio,
      .warmup_steps = config_.schedule.warmup_steps > 0 ? config_.schedule.warmup_steps : -1,
      .min_lr_ratio = config_.schedule.min_lr_ratio};
  schedule_ = std::make_unique<LrSchedule>(schedule, facts_.total_steps);
}

/// PiSSA, where asked for. Rank 0's decomposition counts: machines may differ in its last bits.
void TrainingRun::start_from_principal_parts() {
  const auto method = pissa_method(lora_.init);
  if (!method || !trainable_->is_adapter()) return;
  together(*control_, [&] {
    if (root()) find_principal_parts(*decoder_, *method, static_cast<std::uint64_t>(config_.run.seed));
  });
  for (const ParameterPtr& parameter : trainable_->parameters()) {
    const torch::Tensor host = parameter->value.to(torch::kCPU).contiguous();
    control_->broadcast(buffer_of(host), 0);
    parameter->value = host.to(device_);
  }
  take_out_of_base(*decoder_);
}

/// Sets the parameters, from the newest checkpoint where there is one, and returns the step to go on with.
std::int64_t TrainingRun::resume(const TrainingRunOptions& options) {
  watchdog_.enter(Phase::kLoadCheckpoint, 0);
  together(*control_, [&] {
    if (root() && !options.resume)
      require(list_checkpoints(folder_.checkpoints()).empty(),
              "{} holds checkpoints of an earlier run; choose another run.dir, remove it, or resume with "
              "--resume auto",
              folder_.root().string());
  });
  std::optional<LoadedCheckpoint> found;
  if (options.resume)
    found = load_latest({.root = folder_.checkpoints(),
                         .identity = {trainable_->layout(), facts_.base_fingerprint},
                         .range = optimizer_->owned(),
                         .need_master = optimizer_->has_distinct_master()},
                        *control_);
  if (!found) {
    start_from_principal_parts();
    optimizer_->set_parameters(trainable_->values());
    return 0;
  }
  checkpoint_ = std::make_unique<LoadedCheckpoint>(std::move(*found));
  const std::string where = checkpoint_->folder.string();
  std::vector<torch::Tensor> values;
  together(*control_, [&] {
    require_same_result(config_from_json(checkpoint_->trainer.at("config"), where), config_, where);
    require(json_get<std::string>(checkpoint_->trainer, "data_hash", where) == facts_.data_hash,
            "{}: data.train has changed since this checkpoint was written; go on with the data it was "
            "trained on, or "
            "choose another run.dir",
            where);
    const Path file = checkpoint_->folder / parameter_file(trainable_->is_adapter());
    if (trainable_->is_adapter())
      values = read_adapter_values(*decoder_, lora_, file);
    else if (!optimizer_->has_distinct_master())
      values = read_parameters(file, trainable_->parameters());
  });
  if (!values.empty()) optimizer_->set_parameters(values);
  optimizer_->load(checkpoint_->optimizer);
  return checkpoint_->step;
}

Trainer::ValidationSet TrainingRun::read_validation() {
  if (config_.data.validation.empty()) return {};
  std::vector<std::string> batches;
  together(*control_, [&] {
    if (!root()) return;
    const ShardReader reader(Path(only_path(config_.data.validation, "data.validation")));
    reader.require_made_for(facts_.tokenizer_fingerprint, facts_.template_fingerprint);
    StepStream stream(reader, stream_options(config_, true));
    while (const auto batch = stream.next()) {
      const std::vector<std::byte> bytes = serialise(*batch);
      batches.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  });
  batches.resize(
      static_cast<std::size_t>(broadcast_value(*control_, static_cast<std::int64_t>(batches.size()), 0)));
  Trainer::ValidationSet set;
  for (std::string& bytes : batches) {
    broadcast_bytes(*control_, bytes, 0);
    set.push_back(deserialise_step_batch(std::as_bytes(std::span(bytes.data(), bytes.size()))));
  }
  return set;
}

std::vector<torch::Tensor> TrainingRun::current_values() const {
  std::vector<torch::Tensor> values;
  for (int i = 0; i < optimizer_->layout().count(); ++i) values.push_back(optimizer_->parameter(i));
  return values;
}

AdapterOrigin TrainingRun::adapter_origin(std::int64_t step) const {
  return {.base_model = config_.model.path,
          .base_fingerprint = facts_.base_fingerprint,
          .tokenizer_fingerprint = facts_.tokenizer_fingerprint,
          .template_name = facts_.template_name,
          .template_fingerprint = facts_.template_fingerprint,
          .step = step};
}

std::vector<CheckpointFile> TrainingRun::checkpoint_files(std::int64_t step) {
  std::vector<CheckpointFile> files;
  if (trainable_->is_adapter()) {
    for (AdapterFile& file : adapter_files(*decoder_, lora_, current_values(), adapter_origin(step)))
      files.push_back({file.name, file.bytes, std::move(file.write)});
    return files;
  }
  AdapterFile weights = parameter_copy(parameter_file(false), trainable_->parameters(), current_values());
  files.push_back({weights.name, weights.bytes, std::move(weights.write)});
  return files;
}

TrainerParts TrainingRun::trainer_parts() {
  return {.decoder = *decoder_,
          .trainable = *trainable_,
          .optimizer = *optimizer_,
          .schedule = *schedule_,
          .control = *control_,
          .watchdog = watchdog_,
          .metrics = metrics_.get(),
          .ledger = ledger_.get(),
          .checkpoint_files = [this](std::int64_t step) { return checkpoint_files(step); },
          .saver = *saver_,
          .trainer_json = {{"config", to_json(config_)}, {"data_hash", facts_.data_hash}}};
}

void TrainingRun::make_saver() {
  const CheckpointIdentity identity{trainable_->layout(), facts_.base_fingerprint};
  SaveSetup save{.root = folder_.checkpoints(),
                 .options = {.every = config_.checkpoint.every,
                             .keep = config_.checkpoint.keep,
                             .keep_best = config_.checkpoint.keep_best},
                 .identity = identity,
                 .attempt = 0};
  auto communicator = make_background_communicator(session_, &saver_network_);
  saver_ = std::make_unique<BackgroundSaver>(BackgroundSaver::Setup{.save = std::move(save),
                                                                    .communicator = std::move(communicator),
                                                                    .network = &saver_network_,
                                                                    .activity = watchdog_.activity()});
}

StepFeed TrainingRun::make_feed(std::int64_t first_step) {
  return StepFeed({.communicator = make_background_communicator(session_),
                   .source = [this](std::int64_t step) { return stream_->batch(step); },
                   .first_step = first_step,
                   .last_step = facts_.total_steps,
                   .activity = watchdog_.activity()});
}

void TrainingRun::say_what_will_happen(std::int64_t first_step) const {
  log_info(
      "{} rows, {} steps of {} sequences ({} an epoch); {} ranks on {} nodes, {} threads each, {}; {:.2f} M "
      "trained "
      "parameters, {:.1f} MB optimizer state a rank",
      facts_.rows, facts_.total_steps, config_.batch.sequences_per_step, facts_.steps_per_epoch,
      session_.size(), session_.node_count(), at::get_num_threads(), device_.str(),
      static_cast<double>(optimizer_->layout().total()) / 1e6,
      static_cast<double>(optimizer_->state_bytes()) / 1e6);
  if (session_.size() > config_.batch.sequences_per_step)
    log_warning(
        "{} ranks share {} sequences a step: some will have nothing to do; raise batch.sequences_per_step or "
        "use "
        "fewer ranks",
        session_.size(), config_.batch.sequences_per_step);
  if (first_step > 0) log_info("resuming after step {} from {}", first_step, checkpoint_->folder.string());
}

void TrainingRun::write_result() {
  watchdog_.enter(Phase::kExport, facts_.total_steps);
  together(*control_, [this] {
    if (!root()) return;
    if (trainable_->is_adapter())
      write_adapter(folder_.adapter(),
                    adapter_files(*decoder_, lora_, current_values(), adapter_origin(facts_.total_steps)));
    else
      write_trained_model(folder_.model(), config_.model.path,
                          parameter_copy(parameter_file(false), trainable_->parameters(), current_values()));
    folder_.write_done(facts_.total_steps);
  });
}

/// Everything that can be refused; the run folder holds nothing new until it is past.
void TrainingRun::set_up(const TrainingRunOptions& options) {
  together(*control_, [this] {
    if (root()) folder_.prepare();
  });
  const DeviceChoice choice = choose_device(session_, *control_, comm_, config_.device);
  if (choice.kind == DeviceKind::kCuda)
    device_ = torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(choice.gpu));
  data_plane_ = make_data_communicator(session_, *control_, comm_,
                                       {.device = choice, .activity = watchdog_.activity()});
  watchdog_.enter(Phase::kLoadModel, 0);
  share_data_facts(options);
  open_model();
  load_model_and_adapter();
  make_optimizer();
  first_step_ = resume(options);
  validation_ = read_validation();
  together(*control_, [this] {
    if (!root()) return;
    folder_.start(config_);
    metrics_ = std::make_unique<MetricsLog>(folder_.metrics(), first_step_ + 1);
    ledger_ = std::make_unique<MetricsLog>(folder_.ledger(), first_step_ + 1);
    remove_stale_temporaries(folder_.checkpoints(), 0);
  });
}

int TrainingRun::run(const TrainingRunOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    set_up(options);
  } catch (...) {
    if (root()) folder_.remove_if_unused();
    throw;
  }
  if (root()) say_what_will_happen(first_step_);
  make_saver();
  Trainer trainer({.seed = static_cast<std::uint64_t>(config_.run.seed),
                   .total_steps = facts_.total_steps,
                   .rows = facts_.rows,
                   .validate_every = config_.train.validate_every > 0 ? config_.train.validate_every
                                                                      : facts_.steps_per_epoch,
                   .log_every = config_.train.log_every,
                   .lr = config_.optimizer.lr,
                   .recompute = config_.train.recompute},
                  trainer_parts());
  if (checkpoint_) trainer.restore(checkpoint_->trainer);
  TrainEnd end = TrainEnd::kFinished;
  {
    StepFeed feed = make_feed(first_step_);
    end = trainer.run(feed, validation_, first_step_);
  }
  if (end == TrainEnd::kFinished) write_result();
  watchdog_.stop();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (end == TrainEnd::kInterrupted) {
    if (root())
      log_info("interrupted by signal; a checkpoint is written: run the same command again to go on");
    return kExitInterrupted;
  }
  if (root())
    log_info("done in {:.0f} s: {}", seconds,
             (trainable_->is_adapter() ? folder_.adapter() : folder_.model()).string());
  return kExitDone;
}

}  // namespace

int run_training(const MpiSession& session, const RunConfig& config, const TrainingRunOptions& options) {
  set_threads(session, config);
  return TrainingRun(session, config).run(options);
}

}  // namespace ranktune
