#include "storage/weight_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/nearest.h"

namespace ranktune {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

[[noreturn]] void fail_without_weights(const Path& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth"))
      fail(
          "{} has its weights only as {} (pickle), which is not read for safety; convert them to safetensors",
          folder.string(), name);
    if (name.ends_with(".gguf"))
      fail("{} has its weights as {}; turn it into a model folder with: ranktune import {} DIR",
           folder.string(), name, entry.path().string());
  }
  fail("{} has neither {} nor {}; give a Hugging Face model folder", folder.string(), kSingleFile,
       kIndexFile);
}

WeightList read_index(const Path& folder) {
  const Path path = folder / kIndexFile;
  const Json index = read_json_file(path);
  const std::string where = path.string();
  require(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
          "{}: \"weight_map\" is missing or not an object", where);
  WeightList list{.folder = folder, .files = {}, .shard_of = {}};
  std::set<std::string> files;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    require(file.is_string(), "{}: tensor \"{}\" has no file name", where, tensor);
    const auto name = file.get<std::string>();
    require(!name.empty() && name != "." && name != ".." && name.find('/') == name.npos,
            "{}: tensor \"{}\" is said to be in \"{}\", which is not a file of that folder", where, tensor,
            name);
    files.insert(name);
    list.shard_of[tensor] = name;
  }
  require(!files.empty(), "{}: \"weight_map\" names no tensors", where);
  list.files.assign(files.begin(), files.end());
  for (const std::string& name : list.files) {
    std::error_code not_a_name;  // one may be too long for the filesystem
    require(std::filesystem::exists(folder / name, not_a_name),
            "{} names the shard {}, which is absent; download it again", where, name);
  }
  return list;
}

}  // namespace

WeightList list_weights(const Path& model_folder) {
  require(std::filesystem::is_directory(model_folder), "model folder {} does not exist",
          model_folder.string());
  const bool single = std::filesystem::exists(model_folder / kSingleFile);
  const bool sharded = std::filesystem::exists(model_folder / kIndexFile);
  if (!single && !sharded) fail_without_weights(model_folder);
  if (!sharded) return WeightList{.folder = model_folder, .files = {kSingleFile}, .shard_of = {}};
  WeightList list = read_index(model_folder);
  const bool indexed = std::find(list.files.begin(), list.files.end(), kSingleFile) != list.files.end();
  require(!single || indexed, "{} has both {} and shards of {}; remove the ones that are out of date",
          model_folder.string(), kSingleFile, kIndexFile);
  return list;
}

WeightFiles::WeightFiles(WeightList list, const ByteSource& source) : list_(std::move(list)) {
  files_.reserve(list_.files.size());
  for (const std::string& name : list_.files) {
    const Path path = list_.folder / name;
    const SafetensorsFile& file = files_.emplace_back(source(path), path.string());
    for (const TensorInfo& tensor : file.tensors()) {
      const auto [place, is_new] = by_name_.emplace(tensor.name, &tensor);
      require(is_new, "{}: tensor \"{}\" is also in another shard of {}", path.string(), tensor.name,
              list_.folder.string());
    }
  }
  if (!list_.shard_of.empty()) check_against_index();
}

void WeightFiles::check_against_index() const {
  const std::string index = (list_.folder / kIndexFile).string();
  for (std::size_t i = 0; i < files_.size(); ++i) {
    for (const TensorInfo& tensor : files_[i].tensors()) {
      const auto entry = list_.shard_of.find(tensor.name);
      require(entry != list_.shard_of.end(), "{}: tensor \"{}\" is not in {}", files_[i].where(), tensor.name,
              index);
      require(entry->second == list_.files[i], "{}: tensor \"{}\" should be in {} according to {}",
              files_[i].where(), tensor.name, entry->second, index);
    }
  }
  for (const auto& [tensor, file] : list_.shard_of)
    require(by_name_.contains(tensor), "{}: tensor \"{}\" is missing, although {} names it",
            (list_.folder / file).string(), tensor, index);
}

const TensorInfo* WeightFiles::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

const TensorInfo& WeightFiles::get(std::string_view name) const {
  if (const TensorInfo* found = find(name)) return *found;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : by_name_) names.push_back(known);
  fail("the weights in {} have no tensor \"{}\"{}", list_.folder.string(), name, did_you_mean(name, names));
}

std::vector<const TensorInfo*> WeightFiles::tensors() const {
  std::vector<const TensorInfo*> all;
  for (const SafetensorsFile& file : files_)
    for (const TensorInfo& tensor : file.tensors()) all.push_back(&tensor);
  return all;
}

std::uint64_t WeightFiles::total_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, tensor] : by_name_) total += tensor->data.size();
  return total;
}

}  // namespace ranktune
