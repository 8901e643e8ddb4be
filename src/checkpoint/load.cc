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

/// What rank 0 found and tells the others.
struct Decision {
  CheckpointSearch search;
  int parts = 0;
  std::string trainer;  // text of trainer.json
};

Decision decide(const LoadSetup& setup) {
  const auto unfit = [&](const Path& folder, const Manifest& manifest) {
    return setup.unfit ? setup.unfit(manifest.step, read_trainer(folder, manifest)) : std::string();
  };
  Decision decision{.search = find_latest(setup.root, setup.progress, unfit), .trainer = {}};
  for (const SkippedCheckpoint& skipped : decision.search.skipped)
    log_warning("checkpoint {} is not used: {}", skipped.name, skipped.reason);
  if (!decision.search.found) return decision;
  const Path folder = setup.root / checkpoint_name(decision.search.found->step);
  decision.parts = decision.search.found->optimizer_parts(folder.string());
  const Json trainer = read_trainer(folder, *decision.search.found);
  check_trainer(trainer, setup.identity, (folder / kTrainerFile).string());
  decision.trainer = trainer.dump();
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
                                             .need_master = setup.need_master,
                                             .progress = setup.progress});
  });
  return loaded;
}

}  // namespace ranktune
