#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/checkpoint_paths.h"
#include "config/run_config.h"
#include "model/adapter.h"

namespace ranktune {

/// run.dir: every path in it is made here.
class RunFolder {
 public:
  explicit RunFolder(Path root) : root_(std::move(root)) {}

  const Path& root() const { return root_; }
  Path checkpoints() const { return root_ / kCheckpointsFolder; }
  Path adapter() const { return root_ / "adapter"; }
  Path model() const { return root_ / "model"; }
  Path metrics() const { return root_ / "metrics.jsonl"; }
  Path ledger() const { return root_ / "consumed.jsonl"; }
  Path config() const { return root_ / "config.json"; }
  Path done() const { return root_ / "done.json"; }

  /// Makes the folders. Throws where nothing can be written: now rather than after hours of training.
  void prepare();
  /// For a run that was refused: removes what prepare() made and nothing was put into.
  void remove_if_unused() const noexcept;
  /// A run begins: the marker of an earlier end goes, for a run is done only when this one says so.
  void start(const RunConfig& config) const;
  /// The mark that scripts trust: written last, by rank 0.
  void write_done(std::int64_t steps) const;

 private:
  Path root_;
  std::vector<Path> made_;  ///< by prepare(), the innermost first
};

/// The checkpoint's and result's file of trained parameters.
std::string parameter_file(bool adapter);

/// Values copied to host memory, as a file to be written under their parameters' names.
AdapterFile parameter_copy(std::string name, const ParameterList& parameters,
                           const std::vector<torch::Tensor>& values);

/// A Hugging Face model folder: the base's configuration and tokenizer with the trained weights.
void write_trained_model(const Path& folder, const Path& base, const AdapterFile& weights);

}  // namespace ranktune
