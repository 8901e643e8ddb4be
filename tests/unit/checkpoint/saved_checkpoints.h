#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "checkpoint/load.h"
#include "checkpoint/save.h"
#include "support/lone_communicator.h"
#include "support/temp_dir.h"

namespace ranktune {

/// A manifest's text as a program of another format writes it: its own format number under its own hash.
inline std::string manifest_of_format(const std::string& text, int format) {
  OrderedJson json = OrderedJson::parse(text);
  json["format"] = format;
  json["of_the_future"] = true;
  json.erase("hash");
  const std::string hash = hash_hex(json.dump());
  json["hash"] = hash;
  return json.dump(2);
}

/// A folder of checkpoints of 307 trained elements, written as a training of one rank writes them.
class SavedCheckpoints : public testing::Test {
 protected:
  static CheckpointIdentity identity() {
    return {.layout = FlatLayout({{.name = "w", .shape = {30, 10}}, {.name = "b", .shape = {7}}}),
            .base_hash = "base-1"};
  }

  static CheckpointSnapshot snapshot(std::int64_t step) {
    const CheckpointIdentity id = identity();
    const auto count = static_cast<std::size_t>(id.layout.total());
    CheckpointSnapshot result{.step = step, .validation_loss = {}, .optimizer = {}, .files = {}};
    result.optimizer = {.range = {0, id.layout.total()},
                        .total = id.layout.total(),
                        .updates = step,
                        .exp_avg = std::vector<float>(count, static_cast<float>(step)),
                        .exp_avg_sq = std::vector<float>(count, 0.5F)};
    result.files.push_back(
        {.name = "adapter.bin", .bytes = 7, .write = [](const Path& path) { write_file(path, "adapter"); }});
    result.trainer["epoch"] = 3;
    return result;
  }

  SaveResult save(std::int64_t step) { return save(snapshot(step)); }
  SaveResult save(const CheckpointSnapshot& given) {
    return save_checkpoint({.root = root(), .options = {.keep = 2}, .identity = identity(), .attempt = 1},
                           given, alone_);
  }
  std::optional<LoadedCheckpoint> load(const CheckpointIdentity& id = identity()) {
    return load_latest({.root = root(), .identity = id, .range = {0, id.layout.total()}}, alone_);
  }

  Path root() const { return folder_ / "checkpoints"; }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : std::filesystem::directory_iterator(root()))
      result.push_back(entry.path().filename().string());
    std::ranges::sort(result);
    return result;
  }
  static std::vector<std::string> files_of(const Path& checkpoint) {
    std::vector<std::string> result;
    for (const auto& entry : std::filesystem::directory_iterator(checkpoint))
      result.push_back(entry.path().filename().string());
    std::ranges::sort(result);
    return result;
  }

  TempDir folder_;
  LoneCommunicator alone_;
};

}  // namespace ranktune
