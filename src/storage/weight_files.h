#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "storage/safetensors.h"

namespace ranktune {

/// Which files hold a model's weights, before any of them is opened: what one process reads and may tell the
/// others.
struct WeightList {
  Path folder;
  std::vector<std::string> files;  ///< names inside the folder, sorted
  std::map<std::string, std::string>
      shard_of;  ///< tensor -> file name, from the index; empty for a single file
};

/// MODEL_FOLDER's model.safetensors, or model.safetensors.index.json with its shards. Error where there is
/// neither, both that disagree, a shard that is absent, an index that names a path outside the folder, or
/// only .bin weights.
WeightList list_weights(const Path& model_folder);

/// All weights of a Hugging Face folder, looked up by name across its files. The index must name exactly the
/// tensors of the shards: one that is missing, extra, or in two shards is an Error with file and tensor.
class WeightFiles {
 public:
  static WeightFiles open(const Path& model_folder) { return WeightFiles(list_weights(model_folder)); }
  WeightFiles(WeightFiles&&) = default;
  WeightFiles& operator=(WeightFiles&&) = default;
  /// `source` is called once for every file of the list with its full path, in the list's order.
  explicit WeightFiles(WeightList list, const ByteSource& source = map_file);

  const TensorInfo* find(std::string_view name) const;
  /// Error that names the folder and the nearest tensor where there is none of that name.
  const TensorInfo& get(std::string_view name) const;
  /// File by file, in the order of their bytes.
  std::vector<const TensorInfo*> tensors() const;
  const std::vector<SafetensorsFile>& files() const { return files_; }
  const WeightList& list() const { return list_; }
  std::uint64_t total_bytes() const;

 private:
  void check_against_index() const;

  WeightList list_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const TensorInfo*, std::less<>> by_name_;
};

}  // namespace ranktune
