#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "checkpoint/checkpoint_paths.h"
#include "config/run_config.h"
#include "export/model_folder.h"
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
  Path rewinds() const { return root_ / "rewinds.json"; }

  /// Makes the folders. Throws where nothing can be written: now rather than after hours of training.
  void prepare();
  /// For a run that was refused: removes what prepare() made and nothing was put into.
  void remove_if_unused() const noexcept;
  /// From here on `allowed` is called before anything in the folder gets its name, and throws where this
  /// attempt of the run is no longer to write.
  void write_as(std::int64_t attempt, std::function<void()> allowed);
  /// What earlier attempts had prepared beside its place. An attempt that was stopped just before it gave it
  /// its name, and goes on later, then has nothing to give one to.
  void remove_leftovers() const;
  /// A run begins: the marker of an earlier end goes, for a run is done only when this one says so.
  void start(const RunConfig& config) const;
  void write_adapter(const std::vector<AdapterFile>& files) const;
  /// The result of full fine-tuning: write_model_folder() with the folder's place in the options.
  void write_model(ModelFolderOptions options, const std::vector<FinalWeight>& weights) const;
  /// What the run went back for; a new one at its beginning has none.
  void write_rewinds(std::string_view text) const;
  void remove_rewinds() const;
  /// The mark that scripts trust: written last, by rank 0.
  void write_done(std::int64_t steps) const;

 private:
  void write(const Path& file, std::string_view text) const;
  void remove(const Path& file) const;
  /// Of a result, an earlier one of which is replaced.
  NewFolderOptions place(const Path& result) const;

  Path root_;
  std::string mark_;  ///< of this attempt's temporary folders
  std::function<void()> allowed_;
  std::vector<Path> made_;  ///< by prepare(), the innermost first
};

/// A checkpoint's file of trained parameters.
std::string parameter_file(bool adapter);

/// Values copied to host memory, as a file to be written under their parameters' names.
AdapterFile parameter_copy(std::string name, const ParameterList& parameters,
                           const std::vector<torch::Tensor>& values);

}  // namespace ranktune
