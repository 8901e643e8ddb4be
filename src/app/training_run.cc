#include "app/training_run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/core_share.h"
#include "app/error_text.h"
#include "app/run_folder.h"
#include "app/run_options.h"
#include "app/run_ownership.h"
#include "app/run_position.h"
#include "app/trained_model.h"
#include "app/training_data.h"
#include "app/training_job.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "config/describe.h"
#include "export/final_weights.h"
#include "export/model_texts.h"
#include "model/load_model.h"
#include "tensor/reproducible.h"
#include "train/trainer.h"

namespace ranktune {
namespace {

/// One training run's objects in the order in which they depend on each other; destroyed in reverse.
class TrainingRun {
 public:
  TrainingRun(const MpiSession& session, const RunConfig& config, Watchdog& watchdog, Injection& injection)
      : session_(session),
        config_(config),
        comm_(comm_options(config)),
        folder_(config.run.dir),
        injection_(injection),
        watchdog_(watchdog),
        control_(make_control_communicator(session, comm_, watchdog_.activity())) {}

  int run(const TrainingRunOptions& options);

 private:
  bool root() const { return job_.root(); }
  void set_up(const TrainingRunOptions& options);
  void arm_faults(const std::vector<Fault>& faults);
  void choose_place();
  void open_logs();
  void say_what_will_happen() const;
  void make_saver();
  std::vector<CheckpointFile> checkpoint_files(std::int64_t step) const;
  TrainerParts trainer_parts();
  TrainEnd train(Trainer& trainer);
  void rewind(Trainer& trainer);
  void write_result();

  const MpiSession& session_;
  const RunConfig& config_;
  CommOptions comm_;
  RunFolder folder_;
  Injection& injection_;
  Watchdog& watchdog_;
  std::unique_ptr<Communicator> control_;
  TrainingJob job_{session_, config_, comm_, *control_, watchdog_};
  std::optional<RunOwnership> ownership_;
  torch::Device device_ = torch::kCPU;
  std::unique_ptr<Communicator> data_plane_;
  std::optional<TrainingData> data_;
  std::optional<TrainedModel> model_;
  std::optional<Zero2Optimizer> optimizer_;
  std::optional<LrSchedule> schedule_;
  std::optional<RunPosition> position_;
  std::vector<StepBatch> validation_;
  std::optional<MetricsLog> metrics_;  // rank 0
  std::optional<MetricsLog> ledger_;   // rank 0
  Activity saver_network_;
  std::optional<BackgroundSaver> saver_;
};

/// Everything that can be refused; the run folder holds nothing new until it is past.
void TrainingRun::set_up(const TrainingRunOptions& options) {
  together(*control_, [this] {
    if (root()) folder_.prepare();
  });
  ownership_.emplace(job_, folder_);
  arm_faults(options.faults);
  choose_place();
  watchdog_.enter(Phase::kLoadModel, 0);
  data_.emplace(job_, options.allow_template_mismatch ? TemplateMismatch::kWarn : TemplateMismatch::kRefuse);
  model_.emplace(job_, data_->facts(), options.given, device_);
  optimizer_.emplace(optimizer_setup(config_, model_->trainable(), device_), *data_plane_);
  schedule_.emplace(schedule_options(config_), data_->facts().total_steps);
  position_.emplace(job_, PositionParts{folder_, data_->facts(), *model_, *optimizer_}, options.resume);
  validation_ = data_->read_validation();
  together(*control_, [this] {
    if (root()) open_logs();
  });
}

void TrainingRun::arm_faults(const std::vector<Fault>& faults) {
  const std::int64_t attempt = ownership_->attempt();
  together(*control_, [&] {
    injection_.arm(faults, {.rank = session_.rank(), .ranks = session_.size(), .attempt = attempt});
  });
  const bool none_strikes =
      std::ranges::none_of(faults, [&](const Fault& fault) { return fault.attempt == attempt; });
  if (root() && none_strikes && !faults.empty())
    log_warning("--inject: this is attempt {} of the run, the faults are for others", attempt);
}

/// The device, and what carries tensors from rank to rank there.
void TrainingRun::choose_place() {
  const DeviceChoice choice = choose_device(session_, *control_, comm_, config_.device);
  if (choice.kind == DeviceKind::kCuda) {
    device_ = torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(choice.gpu));
    make_gpu_reproducible();
  }
  data_plane_ = make_data_communicator(session_, *control_, comm_,
                                       {.device = choice, .activity = watchdog_.activity()});
}

/// The run begins, or goes on: from here on its folder says so.
void TrainingRun::open_logs() {
  ownership_->commit();
  folder_.start(config_);
  if (position_->at_beginning()) folder_.remove_rewinds();
  const std::int64_t next_step = position_->step() + 1;
  const auto allowed = [this] { ownership_->require_owner(); };
  metrics_.emplace(folder_.metrics(), next_step, allowed);
  ledger_.emplace(folder_.ledger(), next_step, allowed);
}

void TrainingRun::say_what_will_happen() const {
  const DataFacts& facts = data_->facts();
  log_info(
      "{} rows, {} steps of {} sequences ({} an epoch); {} ranks on {} nodes, {} threads each, {}; {:.2f} M "
      "trained "
      "parameters, {:.1f} MB optimizer state a rank",
      facts.rows, facts.total_steps, config_.batch.sequences_per_step, facts.steps_per_epoch, session_.size(),
      session_.node_count(), at::get_num_threads(), device_.str(),
      static_cast<double>(optimizer_->layout().total()) / 1e6,
      static_cast<double>(optimizer_->state_bytes()) / 1e6);
  if (const std::string risk = fp16_risk(model_->decoder()); !risk.empty())
    log_warning("model.dtype = \"fp16\": {}", risk);
  if (position_->step() > 0)
    log_info("resuming after step {} from {}", position_->step(), position_->folder().string());
}

void TrainingRun::make_saver() {
  SaveSetup save{.root = folder_.checkpoints(),
                 .options = checkpoint_options(config_),
                 .identity = model_->identity(),
                 .attempt = ownership_->attempt(),
                 .at_stage =
                     [this](SaveStage stage, std::int64_t step) {
                       if (stage == SaveStage::kFiles) injection_.at(FaultPhase::kSave, step);
                       if (stage == SaveStage::kPublish) injection_.at(FaultPhase::kPublish, step);
                       if (stage == SaveStage::kPublish && root()) {
                         metrics_->sync();
                         ledger_->sync();
                       }
                       try {
                         ownership_->require_owner();
                       } catch (const Error&) {
                         if (stage != SaveStage::kFailed) throw;  // the failure is what is to be reported
                       }
                     },
                 .progress = [this] { saver_network_.progress(); }};
  control_->barrier();  // marked as a wait, which the making of a communicator is not
  auto communicator = make_background_communicator(session_, &saver_network_);
  saver_.emplace(BackgroundSaver::Setup{.save = std::move(save),
                                        .communicator = std::move(communicator),
                                        .network = &saver_network_,
                                        .activity = watchdog_.activity()});
}

std::vector<CheckpointFile> TrainingRun::checkpoint_files(std::int64_t step) const {
  std::vector<CheckpointFile> files;
  for (AdapterFile& file : model_->files(*optimizer_, step))
    files.push_back({file.name, file.bytes, std::move(file.write)});
  return files;
}

TrainerParts TrainingRun::trainer_parts() {
  return {.decoder = model_->decoder(),
          .trainable = model_->trainable(),
          .optimizer = *optimizer_,
          .schedule = *schedule_,
          .control = *control_,
          .watchdog = watchdog_,
          .metrics = metrics_ ? &*metrics_ : nullptr,
          .ledger = ledger_ ? &*ledger_ : nullptr,
          .checkpoint_files = [this](std::int64_t step) { return checkpoint_files(step); },
          .saver = *saver_,
          .injection = injection_,
          .trainer_json = {{"config", to_json(config_)}, {"data_hash", data_->facts().data_hash}}};
}

/// An error of this rank alone ends the job here: what is destroyed further up has threads that wait for the
/// other ranks, and those wait for this one.
TrainEnd TrainingRun::train(Trainer& trainer) {
  control_->barrier();  // as in make_saver()
  StepFeed feed({.communicator = make_background_communicator(session_),
                 .source = [this](std::int64_t step) { return data_->batch(step); },
                 .first_step = position_->step(),
                 .last_step = data_->facts().total_steps,
                 .activity = watchdog_.activity()});
  try {
    return trainer.run(feed, validation_, position_->step());
  } catch (const AgreedError&) {
    throw;
  } catch (const std::exception& error) {
    if (session_.size() > 1) MpiSession::end_job(kExitError, training_error_text(error));
    throw;
  }
}

/// Back to the newest checkpoint, after the trainer has asked for it.
void TrainingRun::rewind(Trainer& trainer) {
  const Rewind reason = trainer.rewinds().back();
  position_->go_back(trainer.rewinds());
  trainer.restore(position_->trainer());
  together(*control_, [&] {
    if (!root()) return;
    const std::int64_t step = position_->step();
    log_info("going on after step {} from {}", step, position_->folder().string());
    metrics_->rewind(step + 1);
    ledger_->rewind(step + 1);
    metrics_->write({{"step", step},
                     {"rewind_from", reason.step + 1},
                     {"rewind_for", std::string(trouble_name(reason.reason))}});
  });
}

void TrainingRun::write_result() {
  const std::int64_t steps = data_->facts().total_steps;
  watchdog_.enter(Phase::kExport, steps);
  injection_.at(FaultPhase::kExport, steps);
  together(*control_, [&] {
    if (!root()) return;
    ownership_->require_owner();
    if (model_->is_adapter()) {
      folder_.write_adapter(model_->files(*optimizer_, steps));
    } else {
      const DataFacts& facts = data_->facts();
      const ModelFolderOptions options{
          .base = config_.model.path,
          .chat_template =
              trained_template(config_.model.path, facts.template_name, facts.template_fingerprint),
          .progress = [this] { watchdog_.progress(); }};
      folder_.write_model(
          options, trained_weights(model_->trainable().parameters(), TrainedModel::values(*optimizer_)));
    }
    folder_.write_done(steps);
  });
}

int TrainingRun::run(const TrainingRunOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    set_up(options);
  } catch (...) {
    ownership_.reset();
    if (root()) folder_.remove_if_unused();
    throw;
  }
  if (root()) say_what_will_happen();
  make_saver();
  Trainer trainer(trainer_options(config_, data_->facts(), position_->rewinds()), trainer_parts());
  if (!position_->at_beginning()) trainer.restore(position_->trainer());
  TrainEnd end = train(trainer);
  while (end == TrainEnd::kRewind) {
    rewind(trainer);
    end = train(trainer);
  }
  if (end == TrainEnd::kFinished) write_result();
  watchdog_.enter(Phase::kFinish, watchdog_.activity()->report().step);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (end == TrainEnd::kInterrupted) {
    if (root())
      log_info("interrupted by signal; a checkpoint is written: run the same command again to go on");
    return kExitInterrupted;
  }
  if (root())
    log_info("done in {:.0f} s: {}", seconds,
             (model_->is_adapter() ? folder_.adapter() : folder_.model()).string());
  return kExitDone;
}

}  // namespace

int run_training(const MpiSession& session, Watchdog& watchdog, const RunConfig& config,
                 const TrainingRunOptions& options) {
  share_cores(session, config.train.threads);
  Injection injection;
  const int code = TrainingRun(session, config, watchdog, injection).run(options);
  watchdog.stop();  // only now: what the run has held open may not close everywhere
  injection.at(FaultPhase::kEnd, watchdog.activity()->report().step);
  return code;
}

}  // namespace ranktune
