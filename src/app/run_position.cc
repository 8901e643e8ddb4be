#include "app/run_position.h"

#include <filesystem>
#include <string>
#include <utility>

#include "base/error.h"
#include "checkpoint/checkpoint_paths.h"
#include "comm/collectives.h"
#include "config/describe.h"

namespace ranktune {

RunPosition::RunPosition(const TrainingJob& job, const PositionParts& parts, bool resume)
    : job_(job), parts_(parts) {
  job_.watchdog.enter(Phase::kLoadCheckpoint, 0);
  together(job_.control, [&] {
    if (job_.root() && !resume)
      require(list_checkpoints(parts_.folder.checkpoints()).empty(),
              "{} holds checkpoints of an earlier run; choose another run.dir, remove it, or resume with "
              "--resume auto",
              parts_.folder.root().string());
  });
  std::optional<LoadedCheckpoint> found;
  if (resume) {
    read_rewinds();
    found = newest_checkpoint();
  }
  if (!found) {
    if (!rewinds_.empty()) require_no_checkpoints();
    rewinds_.clear();  // from the beginning, the same steps are found again
    parts_.model.start_from_principal_parts();
    parts_.optimizer.set_parameters(parts_.model.trainable().values());
    return;
  }
  take_up(std::move(*found));
}

std::optional<LoadedCheckpoint> RunPosition::newest_checkpoint() {
  return load_latest(
      {.root = parts_.folder.checkpoints(),
       .identity = parts_.model.identity(),
       .range = parts_.optimizer.owned(),
       .need_master = parts_.optimizer.has_distinct_master(),
       .progress = [this] { job_.watchdog.progress(); },
       .unfit = [this](std::int64_t step, const Json& trainer) { return unfit(step, trainer); }},
      job_.control);
}

/// To begin anew would overwrite what is there.
void RunPosition::require_no_checkpoints() const {
  together(job_.control, [&] {
    const Path root = parts_.folder.checkpoints();
    require(!job_.root() || list_checkpoints(root).empty(),
            "no checkpoint in {} verifies and is older than the steps that {} leaves out; choose another "
            "run.dir, or remove both to begin anew",
            root.string(), parts_.folder.rewinds().string());
  });
}

std::string RunPosition::unfit(std::int64_t step, const Json& trainer) const {
  const Json known = trainer.value("rewinds", Json());
  if (known.is_null()) return {};  // of a version that did not note them
  return holds_left_out(step, parse_rewinds(known.dump(), "trainer.json"), rewinds_)
             ? "it has steps in it that a rewind leaves out"
             : "";
}

/// Makes a checkpoint's state that of the run; collective.
void RunPosition::take_up(LoadedCheckpoint found) {
  checkpoint_ = std::move(found);
  const std::string where = checkpoint_->folder.string();
  std::vector<torch::Tensor> values;
  together(job_.control, [&] {
    const auto saved = json_get<Json>(checkpoint_->trainer, "config", where);
    require_same_result(config_from_json(saved, where), job_.config, where);
    require(json_get<std::string>(checkpoint_->trainer, "data_hash", where) == parts_.facts.data_hash,
            "{}: data.train has changed since this checkpoint was written; go on with the data it was "
            "trained on, or "
            "choose another run.dir",
            where);
    values = parts_.model.read_values(checkpoint_->folder, parts_.optimizer.has_distinct_master());
  });
  if (!values.empty()) parts_.optimizer.set_parameters(values);
  parts_.optimizer.load(std::exchange(checkpoint_->optimizer, {}));  // as large as the optimizer itself
}

void RunPosition::read_rewinds() {
  const Path file = parts_.folder.rewinds();
  std::string text;
  together(job_.control, [&] {
    if (!job_.root() || !std::filesystem::exists(file)) return;
    text = read_file(file);
    parse_rewinds(text, file.string());
  });
  broadcast_bytes(job_.control, text, 0);
  if (!text.empty()) rewinds_ = parse_rewinds(text, file.string());
}

/// What for is on disk before anything else, so that a run that is killed meanwhile comes to the same end.
void RunPosition::go_back(const std::vector<Rewind>& rewinds) {
  job_.watchdog.enter(Phase::kLoadCheckpoint, step());
  rewinds_ = rewinds;
  together(job_.control, [&] {
    if (job_.root()) parts_.folder.write_rewinds(rewinds_text(rewinds));
  });
  std::optional<LoadedCheckpoint> found = newest_checkpoint();
  if (!found)
    throw AgreedError(
        fmt::format("step {}: no checkpoint in {} verifies and is older than the steps to be left out, so "
                    "there is none to go back to; keep more of them (checkpoint.keep)",
                    rewinds.back().step + 1, parts_.folder.checkpoints().string()));
  take_up(std::move(*found));
}

}  // namespace ranktune
