#include "checkpoint/retention.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/find_latest.h"
#include "checkpoint/manifest.h"

namespace ranktune {
namespace {

/// Steps of the `count` lowest finite losses.
std::set<std::int64_t> best_steps(std::vector<RetentionCandidate> candidates, std::int64_t count) {
  std::erase_if(candidates, [](const RetentionCandidate& each) {
    return !std::isfinite(each.validation_loss.value_or(NAN));
  });
  std::ranges::stable_sort(candidates, {},
                           [](const RetentionCandidate& each) { return *each.validation_loss; });
  candidates.resize(std::min(candidates.size(), static_cast<std::size_t>(count)));
  std::set<std::int64_t> steps;
  for (const RetentionCandidate& each : candidates) steps.insert(each.step);
  return steps;
}

bool remove_folder(const Path& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) log_warning("cannot remove {}: {}", folder.string(), error.message());
  return !error;
}

/// A folder half removed must not look like a checkpoint, nor be made one by an earlier attempt's writer that
/// was stopped just before it gave it its name. So it loses its name first; attempt 0 never writes.
bool remove_from(const Path& root, const std::string& name, std::int64_t step) {
  const Path folder = root / name;
  const Path hidden = root / temporary_name({.step = step, .attempt = 0});
  if (folder == hidden) return remove_folder(hidden);
  std::error_code error;
  if (std::filesystem::exists(hidden, error) && !remove_folder(hidden)) return false;
  std::filesystem::rename(folder, hidden, error);
  return remove_folder(error ? folder : hidden);
}

}  // namespace

std::vector<std::int64_t> steps_to_remove(std::vector<RetentionCandidate> candidates,
                                          const CheckpointOptions& options) {
  require(options.keep >= 1, "checkpoint.keep is {}; at least 1 must stay", options.keep);
  require(options.keep_best >= 0, "checkpoint.keep_best is {}; give 0 or more", options.keep_best);
  std::ranges::sort(candidates, {}, &RetentionCandidate::step);
  const auto keep = static_cast<std::size_t>(options.keep);
  if (candidates.size() <= keep) return {};
  const std::set<std::int64_t> best = best_steps(candidates, options.keep_best);
  candidates.resize(candidates.size() - keep);
  std::vector<std::int64_t> removed;
  for (const RetentionCandidate& old : candidates)
    if (!best.contains(old.step)) removed.push_back(old.step);
  return removed;
}

bool remove_checkpoint(const Path& root, std::int64_t step) {
  return remove_from(root, checkpoint_name(step), step);
}

std::vector<std::string> prune_checkpoints(const Path& root, std::int64_t newest,
                                           const CheckpointOptions& options) {
  std::vector<RetentionCandidate> candidates;
  for (const std::int64_t step : list_checkpoints(root)) {
    if (step > newest) continue;
    try {
      const Manifest manifest = Manifest::read(root / checkpoint_name(step));
      candidates.push_back({.step = step, .validation_loss = manifest.validation_loss});
    } catch (const Error&) {
      continue;  // not whole: loading will say why, removing it is a person's decision
    }
  }
  std::vector<std::string> removed;
  for (const std::int64_t step : steps_to_remove(std::move(candidates), options))
    if (remove_checkpoint(root, step)) removed.push_back(checkpoint_name(step));
  return removed;
}

std::vector<std::string> remove_stale_temporaries(const Path& root, std::int64_t attempt) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(root, error), end; !error && entry != end;
       entry.increment(error))
    names.push_back(entry->path().filename().string());
  std::vector<std::string> removed;
  for (const std::string& name : names) {
    const auto temporary = parse_temporary_name(name);
    const auto replaced = parse_replaced_name(name);
    const auto& found = replaced ? replaced : temporary;
    if (!found || found->attempt > attempt) continue;
    if (replaced) {
      const Path place = root / checkpoint_name(replaced->step);
      std::error_code missing;
      // The writer died between setting the old one aside and putting the new one in its place.
      if (!std::filesystem::exists(place, missing)) {
        std::filesystem::rename(root / name, place, missing);
        continue;
      }
    }
    if (remove_from(root, name, found->step)) removed.push_back(name);
  }
  return removed;
}

}  // namespace ranktune
