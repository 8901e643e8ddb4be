#include "checkpoint/examine.h"

#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/checkpoint_paths.h"
#include "checkpoint/find_latest.h"
#include "checkpoint/manifest.h"
#include "checkpoint/trainer_file.h"

namespace ranktune {
namespace {

std::uint64_t bytes_of_files(const Path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) bytes += entry->file_size(ignored);
  }
  return bytes;
}

std::filesystem::file_time_type time_of(const Path& folder) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(folder / kManifestFile, error);
  return error ? std::filesystem::last_write_time(folder, error) : time;
}

/// What a folder of sound files may still lack.
void check_content(const Path& folder, const Manifest& manifest) {
  static_cast<void>(manifest.optimizer_parts(folder.string()));
  static_cast<void>(read_trainer(folder, manifest));
}

Examination examine(const Path& folder, std::int64_t step) {
  Examination result{.step = step,
                     .name = folder.filename().string(),
                     .bytes = bytes_of_files(folder),
                     .written = time_of(folder)};
  try {
    const Manifest manifest = Manifest::read(folder);
    result.validation_loss = manifest.validation_loss;
    result.faults = find_faults(folder, manifest);
    if (result.faults.empty()) check_content(folder, manifest);
  } catch (const OtherFormat& error) {
    result.other_version = true;
    result.faults.emplace_back(error.what());
  } catch (const Error& error) {
    result.faults.emplace_back(error.what());
  }
  return result;
}

}  // namespace

Examination examine_checkpoint(const Path& folder) {
  const Path plain = folder.has_filename() ? folder : folder.parent_path();
  const auto step = parse_checkpoint_name(plain.filename().string());
  require(step && std::filesystem::is_directory(plain),
          "{} is not a checkpoint folder (step-000120 and the like)", folder.string());
  return examine(plain, *step);
}

std::vector<Examination> examine_checkpoints(const Path& root) {
  std::vector<Examination> all;
  for (const std::int64_t step : list_checkpoints(root)) {
    const Path folder = root / checkpoint_name(step);
    Examination found = examine(folder, step);
    // A training that goes on removes old ones meanwhile.
    if (std::filesystem::is_directory(folder)) all.push_back(std::move(found));
  }
  return all;
}

Path checkpoints_folder(const Path& path) {
  require(std::filesystem::is_directory(path), "{} is not a folder", path.string());
  return std::filesystem::is_directory(path / kCheckpointsFolder) ? path / kCheckpointsFolder : path;
}

}  // namespace ranktune
