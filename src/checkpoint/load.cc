#include "checkpoint/load.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/numeric.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/optimizer_file.h"
#include "checkpoint/trainer_file.h"
#include "comm/collectives.h"

namespace ranktune {
namespace {

constexpr std::uint64_t kLargestTrainerFile = std::uint64_t{256} << 20;

/// What rank 0 found and tells the others.
struct Decision {
  CheckpointSearch search;
  int parts = 0;
  std::string trainer;  // text of trainer.json
};

/// Number of optimizer files; all of them must be listed.
int count_parts(const Manifest& manifest, const std::string& where) {
  int parts = 0;
  int seen = 0;
  for (const ManifestEntry& file : manifest.files) {
    const auto part = parse_optimizer_file_name(file.name);
    if (!part) continue;
    require(parts == 0 || part->parts == parts, "{}: {} does not belong to the other optimizer files", where,
            file.name);
    parts = part->parts;
    ++seen;
  }
  require(parts > 0 && seen == parts, "{}: {} of {} optimizer files are listed", where, seen, parts);
  return parts;
}

Decision decide(const LoadSetup& setup) {
  Decision decision{.search = find_latest(setup.root), .trainer = {}};
  for (const SkippedCheckpoint& skipped : decision.search.skipped)
    log_warning("checkpoint {} is not used: {}", skipped.name, skipped.reason);
  if (!decision.search.found) return decision;
  const Path folder = setup.root / checkpoint_name(decision.search.found->step);
  decision.parts = count_parts(*decision.search.found, folder.string());
  const Path trainer = folder / kTrainerFile;
  decision.trainer = read_file(trainer, kLargestTrainerFile);
  const Json json = parse_json(decision.trainer, trainer.string());
  require(json_get<std::int64_t>(json, "step", trainer.string()) == decision.search.found->step,
          "{}: is of another step than its manifest", trainer.string());
  check_trainer(json, setup.identity, trainer.string());
  return decision;
}

std::string to_text(const Decision& decision) {
  Json json{{"parts", decision.parts}, {"trainer", decision.trainer}, {"skipped", Json::array()}};
  if (decision.search.found) json["manifest"] = decision.search.found->text();
  for (const SkippedCheckpoint& skipped : decision.search.skipped)
    json["skipped"].push_back({skipped.name, skipped.reason});
  // Reasons may quote damaged files: bytes that are not UTF-8 are replaced.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void name_rank(Communicator& control, const std::function<void()>& action) {
  together(control, [&] {
    try {
      action();
    } catch (const Error& error) {
      throw Error(fmt::format("rank {} ({}): {}", control.rank(), host_name(), error.what()), error.kind());
    }
  });
}

}  // namespace

std::optional<LoadedCheckpoint> load_latest(const LoadSetup& setup, Communicator& control) {
  std::string text;
  together(control, [&] {
    if (control.rank() == 0) text = to_text(decide(setup));
  });
  broadcast_bytes(control, text, 0);
  const Json decision = parse_json(text, "rank 0's choice of a checkpoint");
  if (!decision.contains("manifest")) return std::nullopt;

  LoadedCheckpoint loaded;
  const auto manifest = Manifest::parse(decision["manifest"].get<std::string>(), "rank 0's manifest");
  loaded.step = manifest.step;
  loaded.folder = setup.root / checkpoint_name(loaded.step);
  loaded.trainer =
      parse_json(decision["trainer"].get<std::string>(), (loaded.folder / kTrainerFile).string());
  for (const Json& skipped : decision["skipped"])
    loaded.skipped.push_back({skipped.at(0).get<std::string>(), skipped.at(1).get<std::string>()});
  name_rank(control, [&] {
    wait_until_visible(loaded.folder, manifest.files, setup.visibility_patience);
    loaded.optimizer = read_optimizer_range({.folder = loaded.folder,
                                             .parts = decision["parts"].get<int>(),
                                             .layout_hash = setup.identity.layout.hash(),
                                             .total = setup.identity.layout.total(),
                                             .range = setup.range,
                                             .need_master = setup.need_master});
  });
  return loaded;
}

}  // namespace ranktune
