#include "checkpoint/repair.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/examine.h"
#include "checkpoint/manifest.h"

namespace ranktune {
namespace {

/// A hidden folder of an attempt.
struct Leftover {
  std::string name;
  std::int64_t step = 0;
  bool replaced = false;  ///< set aside, not written
};

std::vector<Leftover> find_leftovers(const Path& root) {
  std::vector<Leftover> found;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (const auto temporary = parse_temporary_name(name)) found.push_back({name, temporary->step, false});
    if (const auto replaced = parse_replaced_name(name)) found.push_back({name, replaced->step, true});
  }
  std::ranges::sort(found, {}, &Leftover::name);
  return found;
}

/// Whether all that a checkpoint of that step has is there.
bool is_whole(const Path& folder, std::int64_t step) {
  try {
    const Manifest manifest = Manifest::read(folder);
    verify_files(folder, manifest);
    return manifest.step == step;
  } catch (const Error&) {
    return false;
  }
}

void require_quiet(const Path& root, const std::vector<Leftover>& leftovers, std::chrono::seconds quiet) {
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const Leftover& leftover : leftovers) {
    auto newest = std::filesystem::last_write_time(root / leftover.name);
    for (const auto& entry : std::filesystem::directory_iterator(root / leftover.name))
      newest = std::max(newest, entry.last_write_time());
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - newest);
    require(
        age >= quiet,
        "{} was changed {} s ago: a run may be writing it; end that run first, or where none is left, repeat "
        "with --force",
        (root / leftover.name).string(), std::max<std::int64_t>(0, age.count()));
  }
}

class Repairer {
 public:
  Repairer(Path root, const RepairOptions& options)
      : root_(std::move(root)), options_(options), all_(examine_checkpoints(root_)) {}

  Repair run() {
    const std::vector<Leftover> leftovers = find_leftovers(root_);
    require_quiet(root_, leftovers, options_.quiet);
    for (const Leftover& leftover : leftovers) settle(leftover);
    const auto valid = std::ranges::count_if(all_, &Examination::valid);
    for (const Examination& each : all_) {
      if (each.valid()) continue;
      if (each.other_version)
        result_.left.push_back(fmt::format("{} stays: {}", each.name, each.faults.front()));
      else if (valid == 0)
        result_.left.push_back(fmt::format("{} is damaged and stays, because no valid one is left: {}",
                                           each.name, each.faults.front()));
      else
        set_aside(each);
    }
    if (!options_.dry_run) sync_folder(root_);
    return std::move(result_);
  }

 private:
  void settle(const Leftover& leftover) {
    const auto place = std::ranges::find(all_, leftover.step, &Examination::step);
    const bool taken = place != all_.end();
    const bool whole = is_whole(root_ / leftover.name, leftover.step);
    const bool newest = std::ranges::none_of(
        all_, [&](const Examination& each) { return each.valid() && each.step >= leftover.step; });
    if (taken && place->other_version) {
      result_.left.push_back(
          fmt::format("{} stays beside {}, which is of another version", leftover.name, place->name));
    } else if (whole && ((taken && !place->valid()) || (!taken && (leftover.replaced || newest)))) {
      if (taken) {
        set_aside(*place);
        all_.erase(place);
      }
      give_name(leftover);
    } else if (leftover.replaced && !taken) {
      result_.left.push_back(fmt::format(
          "{} stays: it is damaged, but there is no other checkpoint of its step", leftover.name));
    } else {
      remove(leftover);
    }
  }

  void give_name(const Leftover& leftover) {
    const std::string name = checkpoint_name(leftover.step);
    result_.done.push_back(fmt::format("{} is whole: {} the name {}", leftover.name,
                                       options_.dry_run ? "would get" : "got", name));
    rename(leftover.name, name);
    Examination found{.step = leftover.step, .name = name};
    all_.insert(std::ranges::upper_bound(all_, leftover.step, {}, &Examination::step), std::move(found));
  }

  void remove(const Leftover& leftover) {
    result_.done.push_back(fmt::format("{}, left behind by an attempt that died, {}", leftover.name,
                                       options_.dry_run ? "would be removed" : "is removed"));
    if (options_.dry_run) return;
    if (options_.allowed) options_.allowed();
    std::error_code error;
    std::filesystem::remove_all(root_ / leftover.name, error);
    require(!error, "cannot remove {}: {}", (root_ / leftover.name).string(), error.message());
  }

  void set_aside(const Examination& damaged) {
    std::int64_t number = 1;
    while (std::filesystem::exists(root_ / bad_name({damaged.step, number}))) ++number;
    const std::string aside = bad_name({damaged.step, number});
    result_.done.push_back(fmt::format("{} is damaged: it {} set aside as {} ({})", damaged.name,
                                       options_.dry_run ? "would be" : "is", aside, damaged.faults.front()));
    rename(damaged.name, aside);
  }

  void rename(const std::string& from, const std::string& to) const {
    if (options_.dry_run) return;
    if (options_.allowed) options_.allowed();
    std::error_code error;
    std::filesystem::rename(root_ / from, root_ / to, error);
    require(!error, "cannot rename {} to {}: {}", (root_ / from).string(), to, error.message());
  }

  Path root_;
  RepairOptions options_;
  std::vector<Examination> all_;
  Repair result_;
};

}  // namespace

Repair repair_checkpoints(const Path& root, const RepairOptions& options) {
  return Repairer(root, options).run();
}

}  // namespace ranktune
