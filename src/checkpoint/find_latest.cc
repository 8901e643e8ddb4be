#include "checkpoint/find_latest.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "checkpoint/checkpoint_paths.h"

namespace ranktune {

std::vector<std::int64_t> list_checkpoints(const Path& root) {
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(root, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    const auto step = parse_checkpoint_name(entry->path().filename().string());
    if (step && entry->is_directory(ignored)) steps.push_back(*step);
  }
  const bool absent = error == std::errc::no_such_file_or_directory;
  require(!error || absent, "cannot look for checkpoints in {}: {}", root.string(), error.message());
  std::ranges::sort(steps);
  return steps;
}

CheckpointSearch find_latest(const Path& root, const std::function<void()>& progress,
                             const UnfitReason& unfit) {
  CheckpointSearch search;
  std::vector<std::int64_t> steps = list_checkpoints(root);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string name = checkpoint_name(*step);
    try {
      Manifest manifest = Manifest::read(root / name);
      verify_files(root / name, manifest, progress);
      if (std::string reason = unfit ? unfit(root / name, manifest) : std::string(); !reason.empty()) {
        search.skipped.push_back({name, std::move(reason)});
        continue;
      }
      search.found = std::move(manifest);
      return search;
    } catch (const OtherFormat&) {
      throw;  // going on from an older one would throw away what another version trained
    } catch (const Error& error) {
      search.skipped.push_back({name, error.what()});
    }
  }
  return search;
}

}  // namespace ranktune
