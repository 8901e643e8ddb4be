#include "app/trained_model.h"

#include <utility>

#include "app/run_folder.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "model/load_model.h"
#include "model/lora.h"
#include "model/lora_init.h"
#include "tensor/buffer_of.h"
#include "train/share_model_files.h"

namespace ranktune {
namespace {

/// The base model's files on every rank, and what they are recognised by.
struct BaseFiles {
  ModelFiles files;
  std::string fingerprint;
};

BaseFiles open_base(const TrainingJob& job) {
  const auto node = make_node_communicator(job.session, job.comm, job.watchdog.activity());
  const auto node_heads = make_node_heads_communicator(job.session, job.comm, job.watchdog.activity());
  BaseFiles base;
  base.files = share_model_files(job.config.model.path, model_read_of(job.config.model.read),
                                 {.world = job.control,
                                  .node = *node,
                                  .node_heads = node_heads.get(),
                                  .activity = job.watchdog.activity()});
  together(job.control, [&] {
    if (job.root())
      base.fingerprint = weights_fingerprint(*base.files.weights, [&] { job.watchdog.progress(); });
  });
  broadcast_bytes(job.control, base.fingerprint, 0);
  return base;
}

}  // namespace

TrainedModel::TrainedModel(const TrainingJob& job, const DataFacts& facts, const GivenKeys& given,
                           torch::Device device)
    : job_(job), facts_(facts), device_(device) {
  BaseFiles base = open_base(job_);
  base_fingerprint_ = std::move(base.fingerprint);
  job_.watchdog.enter(Phase::kLoadModel, 0);
  together(job_.control, [&] { load(std::move(base.files), given); });
}

void TrainedModel::load(ModelFiles files, const GivenKeys& given) {
  const RunConfig& config = job_.config;
  // What is wrong in it is said before the long wait.
  const LoraOptions wanted = lora_options(config.lora, facts_.trained_tokens);
  if (!config.model.adapter.empty())
    require_same_base(config.model.adapter, config.model.path, [this] { return base_fingerprint_; });
  decoder_ = load_model({.folder = config.model.path,
                         .dtype = compute_dtype(config.model.dtype),
                         .device = device_,
                         .files = std::move(files),
                         .check = {.part = job_.session.local_rank(), .parts = job_.session.local_size()},
                         .progress = [this] { job_.watchdog.progress(); }});
  const bool is_tied = decoder_->architecture().tied_head;
  if (config.train.method == "full") {
    require(config.model.adapter.empty(),
            "model.adapter is \"{}\", but train.method = \"full\" trains no adapter", config.model.adapter);
  } else if (!config.model.adapter.empty()) {
    lora_ = load_adapter(*decoder_, config.model.adapter);
    require_same_settings(*decoder_, given, resolve_targets(*decoder_, wanted), lora_);
  } else {
    lora_ = resolve_targets(*decoder_, wanted);
    check_targets(*decoder_, lora_);
    add_lora(*decoder_, lora_, static_cast<std::uint64_t>(config.run.seed));
  }
  if (job_.root() && is_tied && !decoder_->architecture().tied_head)
    log_warning(
        "this model's output head is its embedding, but lora.modules_to_save trains one apart from the "
        "other; "
        "lora.ensure_weight_tying = true keeps them one matrix");
  trainable_ = std::make_unique<TrainableSet>(*decoder_, config.lora.plus_ratio);
}

/// Rank 0's decomposition counts: machines may differ in its last bits.
void TrainedModel::start_from_principal_parts() {
  const auto method = pissa_method(lora_.init);
  if (!method || !is_adapter()) return;
  together(job_.control, [&] {
    if (job_.root())
      find_principal_parts(*decoder_, *method, static_cast<std::uint64_t>(job_.config.run.seed),
                           [this] { job_.watchdog.progress(); });
  });
  for (const ParameterPtr& parameter : trainable_->parameters()) {
    const torch::Tensor host = parameter->value.to(torch::kCPU).contiguous();
    job_.control.broadcast(buffer_of(host), 0);
    parameter->value = host.to(device_);
  }
  take_out_of_base(*decoder_);
}

std::vector<torch::Tensor> TrainedModel::read_values(const Path& folder, bool has_master) {
  const Path file = folder / parameter_file(is_adapter());
  if (is_adapter()) return read_adapter_values(*decoder_, lora_, file);
  if (has_master) return {};
  return read_parameters(file, trainable_->parameters());
}

std::vector<torch::Tensor> TrainedModel::values(const Zero2Optimizer& optimizer) {
  std::vector<torch::Tensor> found;
  for (int i = 0; i < optimizer.layout().count(); ++i) found.push_back(optimizer.parameter(i));
  return found;
}

std::vector<AdapterFile> TrainedModel::files(const Zero2Optimizer& optimizer, std::int64_t step) const {
  if (!is_adapter())
    return {parameter_copy(parameter_file(false), trainable_->parameters(), values(optimizer))};
  return adapter_files(*decoder_, lora_, values(optimizer),
                       {.base_model = job_.config.model.path,
                        .base_fingerprint = base_fingerprint_,
                        .tokenizer_fingerprint = facts_.tokenizer_fingerprint,
                        .template_name = facts_.template_name,
                        .template_fingerprint = facts_.template_fingerprint,
                        .step = step});
}

}  // namespace ranktune
