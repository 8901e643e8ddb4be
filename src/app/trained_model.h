#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "app/adapter_settings.h"
#include "app/training_data.h"
#include "app/training_job.h"
#include "checkpoint/snapshot.h"
#include "model/adapter.h"
#include "model/decoder.h"
#include "model/lora_options.h"
#include "model/model_files.h"
#include "train/trainable.h"
#include "zero/zero2_optimizer.h"

namespace ranktune {

/// A run's model, what of it is trained, and the files that becomes. `facts` outlive it.
class TrainedModel {
 public:
  /// The base model with a new adapter, the one that model.adapter names, or none (full fine-tuning).
  /// Collective; what is wrong is thrown by all ranks alike. `given`: what the user has configured.
  TrainedModel(const TrainingJob& job, const DataFacts& facts, const GivenKeys& given, torch::Device device);

  Decoder& decoder() const { return *decoder_; }
  TrainableSet& trainable() const { return *trainable_; }
  bool is_adapter() const { return trainable_->is_adapter(); }
  /// What a checkpoint must agree with.
  CheckpointIdentity identity() const { return {trainable_->layout(), base_fingerprint_}; }

  /// Where nothing has been trained: PiSSA, if that is asked for. Collective.
  void start_from_principal_parts();
  /// The trained values in a checkpoint's folder. None for full fine-tuning with a master of its own
  /// (`has_master`), which has them.
  std::vector<torch::Tensor> read_values(const Path& folder, bool has_master);
  /// The optimizer's values of the moment, of the trainable parameters in their order.
  static std::vector<torch::Tensor> values(const Zero2Optimizer& optimizer);
  /// The files of an adapter folder, or the one with all weights: the values of the moment, copied.
  std::vector<AdapterFile> files(const Zero2Optimizer& optimizer, std::int64_t step) const;

 private:
  void load(ModelFiles files, const GivenKeys& given);

  const TrainingJob& job_;
  const DataFacts& facts_;
  torch::Device device_;
  std::string base_fingerprint_;
  std::unique_ptr<Decoder> decoder_;
  LoraOptions lora_;
  std::unique_ptr<TrainableSet> trainable_;
};

}  // namespace ranktune
