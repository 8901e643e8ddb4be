#include "app/training_data.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "app/adapter_settings.h"
#include "app/model_vocabulary.h"
#include "app/run_options.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "model/hf_config.h"
#include "model/model_files.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ranktune {
namespace {

const std::string& only_path(const std::vector<std::string>& paths, const char* key) {
  require(paths.size() == 1,
          "{} names {} data sets; give the name of one (NAME.h5 also stands for all shards of NAME)", key,
          paths.size());
  return paths.front();
}

std::int64_t total_steps(const RunConfig& config, const StepStream& stream) {
  const std::int64_t by_epochs = config.train.epochs > 0 ? stream.steps_for(config.train.epochs) : 0;
  if (by_epochs == 0) return config.train.max_steps;
  return config.train.max_steps > 0 ? std::min(by_epochs, config.train.max_steps) : by_epochs;
}

}  // namespace

TrainingData::TrainingData(const TrainingJob& job, TemplateMismatch mismatch) : job_(job) {
  together(job_.control, [&] {
    if (job_.root()) read(mismatch);
  });
  std::vector<std::int64_t> numbers{facts_.steps_per_epoch, facts_.total_steps, facts_.rows};
  broadcast_vector(job_.control, numbers, 0);
  facts_.steps_per_epoch = numbers[0], facts_.total_steps = numbers[1], facts_.rows = numbers[2];
  for (std::string* text : {&facts_.tokenizer_fingerprint, &facts_.template_name,
                            &facts_.template_fingerprint, &facts_.data_hash})
    broadcast_bytes(job_.control, *text, 0);
  broadcast_vector(job_.control, facts_.trained_tokens, 0);
}

void TrainingData::read(TemplateMismatch mismatch) {
  const RunConfig& config = job_.config;
  const Path model(config.model.path);
  const auto tokenizer = Tokenizer::load(model);
  const Architecture arch = parse_architecture(read_model_config(model), (model / "config.json").string());
  if (const std::int64_t spare = check_vocabulary(*tokenizer, arch.vocab_size, model); spare > 0)
    log_info("{} of the embedding's {} rows have no token: padding", spare, arch.vocab_size);
  const ChatTemplate chat_template = ChatTemplate::load(model, config.data.template_name);
  load_stop_tokens(model, *tokenizer, chat_template, mismatch);
  reader_ = std::make_unique<ShardReader>(Path(only_path(config.data.train, "data.train")));
  reader_->require_made_for(tokenizer->fingerprint(), chat_template.fingerprint());
  stream_ = std::make_unique<StepStream>(*reader_, stream_options(config, false));
  facts_ = {.steps_per_epoch = stream_->steps_per_epoch(),
            .total_steps = total_steps(config, *stream_),
            .rows = reader_->rows(),
            .tokenizer_fingerprint = tokenizer->fingerprint(),
            .template_name = chat_template.name(),
            .template_fingerprint = chat_template.fingerprint(),
            .data_hash = reader_->set_hash(),
            .trained_tokens = trainable_token_ids(config.lora, *tokenizer)};
}

std::vector<StepBatch> TrainingData::read_validation() const {
  const RunConfig& config = job_.config;
  if (config.data.validation.empty()) return {};
  std::vector<std::string> batches;
  together(job_.control, [&] {
    if (!job_.root()) return;
    const ShardReader reader(Path(only_path(config.data.validation, "data.validation")));
    reader.require_made_for(facts_.tokenizer_fingerprint, facts_.template_fingerprint);
    StepStream stream(reader, stream_options(config, true));
    std::int64_t supervised = 0;
    while (const auto batch = stream.next()) {
      const std::vector<std::byte> bytes = serialise(*batch);
      batches.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      supervised += batch->supervised_tokens;
      job_.watchdog.progress();
    }
    require(supervised > 0,
            "data.validation = {}: none of its {} rows has a supervised token, so it has no loss; give rows "
            "with answers",
            only_path(config.data.validation, "data.validation"), reader.rows());
  });
  batches.resize(
      static_cast<std::size_t>(broadcast_value(job_.control, static_cast<std::int64_t>(batches.size()), 0)));
  std::vector<StepBatch> set;
  for (std::string& bytes : batches) {
    broadcast_bytes(job_.control, bytes, 0);
    set.push_back(deserialise_step_batch(std::as_bytes(std::span(bytes.data(), bytes.size()))));
  }
  return set;
}

}  // namespace ranktune
