#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <ranges>

#include "app/commands.h"
#include "base/error.h"
#include "base/json.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/compare.h"
#include "checkpoint/examine.h"
#include "checkpoint/find_latest.h"
#include "checkpoint/repair.h"
#include "checkpoint/retention.h"
#include "ownership/run_lease.h"

namespace ranktune {
namespace {

struct CheckpointArguments {
  std::string place, second;
  bool json = false, dry_run = false, force = false;
  CheckpointOptions retention;
};

/// Whether the path is one checkpoint rather than a folder of them.
bool is_checkpoint(const Path& path) {
  const Path plain = path.has_filename() ? path : path.parent_path();
  return parse_checkpoint_name(plain.filename().string()).has_value();
}

std::vector<Examination> examine(const std::string& place) {
  if (is_checkpoint(place)) return {examine_checkpoint(place)};
  const Path root = checkpoints_folder(place);
  std::vector<Examination> found = examine_checkpoints(root);
  require(!found.empty(), "{} holds no checkpoints", root.string());
  return found;
}

/// "3 min", "5 h", "12 d".
std::string age_text(std::filesystem::file_time_type written) {
  const auto age = std::filesystem::file_time_type::clock::now() - written;
  const auto seconds =
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(age).count());
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} d", seconds / 86400);
}

std::string state_text(const Examination& found) {
  if (found.valid()) return "valid";
  return fmt::format("{}: {}", found.other_version ? "other version" : "damaged", found.faults.front());
}

Json as_json(const Examination& found) {
  const auto written = std::chrono::file_clock::to_sys(found.written);
  Json json{{"name", found.name},
            {"step", found.step},
            {"written", std::chrono::duration_cast<std::chrono::seconds>(written.time_since_epoch()).count()},
            {"bytes", found.bytes},
            {"validation_loss", nullptr},
            {"valid", found.valid()},
            {"faults", found.faults}};
  if (found.validation_loss) json["validation_loss"] = *found.validation_loss;
  return json;
}

int run_list(const CheckpointArguments& arguments) {
  const std::vector<Examination> all = examine(arguments.place);
  if (arguments.json) {
    Json list = Json::array();
    for (const Examination& found : all) list.push_back(as_json(found));
    fmt::print("{}\n", list.dump(2, ' ', false, Json::error_handler_t::replace));
    return kExitDone;
  }
  fmt::print("{:<14}{:>8}{:>12}{:>17}  state\n", "checkpoint", "age", "size", "validation loss");
  for (const Examination& found : all)
    fmt::print("{:<14}{:>8}{:>9.1f} MB{:>17}  {}\n", found.name, age_text(found.written),
               static_cast<double>(found.bytes) / 1e6,
               found.validation_loss ? fmt::format("{:.4f}", *found.validation_loss) : "-",
               state_text(found));
  return kExitDone;
}

int run_verify(const CheckpointArguments& arguments) {
  bool sound = true;
  for (const Examination& found : examine(arguments.place)) {
    if (found.valid())
      fmt::print("{}: valid, {:.1f} MB\n", found.name, static_cast<double>(found.bytes) / 1e6);
    for (const std::string& fault : found.faults) fmt::print("{}: {}\n", found.name, fault);
    sound = sound && found.valid();
  }
  return sound ? kExitDone : kExitError;
}

/// A checkpoint's own folder, or the newest valid one of a run.
Path one_checkpoint(const std::string& place) {
  if (is_checkpoint(place)) return place;
  const Path root = checkpoints_folder(place);
  const CheckpointSearch search = find_latest(root);
  require(search.found.has_value(), "{} holds no valid checkpoint", root.string());
  return root / checkpoint_name(search.found->step);
}

int run_diff(const CheckpointArguments& arguments) {
  const Path first = one_checkpoint(arguments.place), second = one_checkpoint(arguments.second);
  const CheckpointComparison comparison = compare_checkpoints(first, second);
  fmt::print("first:  {}\nsecond: {}\n", first.string(), second.string());
  for (const CheckpointDifference& each : comparison.differences)
    fmt::print("{}: {}\n", each.what, each.change);
  if (comparison.differences.empty()) {
    fmt::print("the same: {} tensors bit by bit, and all fields\n", comparison.tensors);
    return kExitDone;
  }
  fmt::print("{} differences; {} tensors compared, the largest difference of two elements is {:.3g}\n",
             comparison.differences.size(), comparison.tensors, comparison.largest);
  return kExitError;
}

/// For commands that change a run's checkpoints: nobody trains the run meanwhile. Null where `place` is not
/// in a run folder that was trained in.
std::unique_ptr<RunLease> own_run(const std::string& place) {
  Path run = std::filesystem::absolute(checkpoints_folder(place)).lexically_normal();
  if (!run.has_filename()) run = run.parent_path();
  run = run.parent_path();
  if (!std::filesystem::is_directory(run / RunLease::kFolder)) return nullptr;
  return RunLease::take({.run = run});
}

/// Unlike the training, which has just written the newest one, this looks whether the checkpoints are valid:
/// one that cannot be resumed from must not push out one that can.
int run_prune(const CheckpointArguments& arguments) {
  const auto lease = arguments.dry_run ? nullptr : own_run(arguments.place);
  const Path root = checkpoints_folder(arguments.place);
  std::vector<RetentionCandidate> candidates;
  for (const Examination& found : examine(root.string())) {
    if (found.valid())
      candidates.push_back({.step = found.step, .validation_loss = found.validation_loss});
    else
      fmt::print("{} stays, {}\n", found.name, state_text(found));
  }
  for (const std::int64_t step : steps_to_remove(candidates, arguments.retention)) {
    if (lease) lease->require_owner();
    if (!arguments.dry_run && !remove_checkpoint(root, step)) return kExitError;
    fmt::print("{} {}\n", checkpoint_name(step), arguments.dry_run ? "would be removed" : "is removed");
  }
  return kExitDone;
}

int run_repair(const CheckpointArguments& arguments) {
  const auto lease = arguments.dry_run ? nullptr : own_run(arguments.place);
  RepairOptions options{.dry_run = arguments.dry_run};
  if (arguments.force) options.quiet = std::chrono::seconds(0);
  if (lease) options.allowed = [&lease] { lease->require_owner(); };
  const Repair repair = repair_checkpoints(checkpoints_folder(arguments.place), options);
  for (const std::string& line : repair.done) fmt::print("{}\n", line);
  for (const std::string& line : repair.left) fmt::print("{}\n", line);
  if (repair.done.empty() && repair.left.empty()) fmt::print("nothing to repair\n");
  return repair.left.empty() ? kExitDone : kExitError;
}

CLI::App* add_action(CLI::App* parent, const char* name, const char* meaning, const char* footer) {
  CLI::App* app = parent->add_subcommand(name, meaning);
  app->footer(footer);
  return app;
}

constexpr const char* kPlace = "Run folder or its checkpoints/ folder";

}  // namespace

Command add_checkpoint(CLI::App& program) {
  auto arguments = std::make_shared<CheckpointArguments>();
  CLI::App* app = program.add_subcommand("checkpoint", "List, verify, compare, prune and repair checkpoints");
  app->require_subcommand(1);
  app->footer(
      "Examples:\n"
      "  ranktune checkpoint list runs/x\n"
      "  ranktune checkpoint verify runs/x/checkpoints/step-000120\n"
      "`ranktune checkpoint ACTION --help` shows an action's options and examples.");
  const std::string one = fmt::format("{}; or one checkpoint", kPlace), all = kPlace;

  CLI::App* list = add_action(app, "list", "Step, age, size, validation loss and validity of each",
                              "Examples:\n  ranktune checkpoint list runs/x\n"
                              "  ranktune checkpoint list --json runs/x | jq '.[] | select(.valid).name'");
  list->add_option("PLACE", arguments->place, one)->required();
  list->add_flag("--json", arguments->json, "The same facts as a JSON list");

  CLI::App* verify =
      add_action(app, "verify", "Compare every file with its size and hash; exit code 1 names the bad",
                 "Examples:\n  ranktune checkpoint verify runs/x\n"
                 "  ranktune checkpoint verify runs/x/checkpoints/step-000120");
  verify->add_option("PLACE", arguments->place, one)->required();

  CLI::App* diff = add_action(
      app, "diff", "Which weights, optimizer state and fields differ, and by how much; exit code 1 if any do",
      "Examples:\n  ranktune checkpoint diff runs/x/checkpoints/step-000100 runs/x/checkpoints/step-000120\n"
      "  ranktune checkpoint diff runs/one-rank runs/four-ranks    # the newest of both");
  diff->add_option("FIRST", arguments->place, one)->required();
  diff->add_option("SECOND", arguments->second, one)->required();

  CLI::App* prune =
      add_action(app, "prune", "Remove old checkpoints; the newest valid one always stays",
                 "Examples:\n  ranktune checkpoint prune runs/x --keep 1 --keep-best 0 --dry-run\n"
                 "  ranktune checkpoint prune runs/x --keep 2");
  prune->add_option("PLACE", arguments->place, all)->required();
  prune->add_option("--keep", arguments->retention.keep, "Newest valid checkpoints that stay")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}))
      ->capture_default_str();
  prune
      ->add_option("--keep-best", arguments->retention.keep_best,
                   "Those of the lowest validation losses that stay as well")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1'000'000}))
      ->capture_default_str();
  prune->add_flag("--dry-run", arguments->dry_run, "Only say what would be removed");

  CLI::App* repair =
      add_action(app, "repair", "After crashes and damage: make the next resume find nothing to skip",
                 "Examples:\n  ranktune checkpoint repair runs/x --dry-run\n"
                 "  ranktune checkpoint repair runs/x");
  repair->add_option("PLACE", arguments->place, all)->required();
  repair->add_flag("--dry-run", arguments->dry_run, "Only say what would be done");
  repair->add_flag("--force", arguments->force, "Also where something was written in the last 10 minutes");

  return {app, [=] {
            if (list->parsed()) return run_list(*arguments);
            if (verify->parsed()) return run_verify(*arguments);
            if (diff->parsed()) return run_diff(*arguments);
            if (prune->parsed()) return run_prune(*arguments);
            return run_repair(*arguments);
          }};
}

}  // namespace ranktune
