#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "storage/weight_files.h"

namespace ranktune {

/// What a decoder is made of: config.json and the weight files of a Hugging Face folder, wherever their bytes
/// came from.
struct ModelFiles {
  Path folder;
  Json config;
  std::shared_ptr<const WeightFiles> weights;

  /// The name of config.json in messages.
  std::string config_path() const { return (folder / "config.json").string(); }
};

/// Mapped from the folder.
ModelFiles open_model_files(const Path& folder);
/// MODEL_FOLDER/config.json.
Json read_model_config(const Path& folder);

/// Hash of all weight files' names and bytes: what an adapter's base is recognised by. Reads them all, and
/// calls `progress` now and then.
std::string weights_fingerprint(const WeightFiles& weights, const std::function<void()>& progress = {});
std::string weights_fingerprint(const Path& folder);

}  // namespace ranktune
