#include "storage/new_folder.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <utility>

#include "base/error.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

void require_replaceable(const Path& path, Replaces replaces) {
  if (!fs::exists(fs::symlink_status(path))) return;
  require(fs::is_directory(path), "{} exists and is not a folder", path.string());
  if (fs::is_empty(path) || replaces == Replaces::kAnyFolder) return;
  require(replaces == Replaces::kModelFolder,
          "{} exists and is not empty; give another folder, or --overwrite to replace it", path.string());
  require(fs::exists(path / "config.json"),
          "{} is not a model folder (it has no config.json), so it is not replaced", path.string());
  for (const auto& entry : fs::directory_iterator(path))
    require(!fs::is_directory(entry.symlink_status()), "{} holds the folder {}, so it is not replaced",
            path.string(), entry.path().filename().string());
}

/// The folder's own name, without a slash at the end.
Path plain(const Path& path) {
  const Path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

}  // namespace

NewFolder::NewFolder(NewFolderOptions options) : options_(std::move(options)) {
  Path& path = options_.path;
  path = plain(path);
  require_replaceable(path, options_.replaces);
  make_folders(path.parent_path());
  std::string name = fmt::format("{}/.{}.tmp{}.XXXXXX", path.parent_path().string(), path.filename().string(),
                                 options_.mark);
  if (::mkdtemp(name.data()) == nullptr) fail("cannot write {}{}", path.string(), errno_text());
  temporary_ = name;
  ::chmod(temporary_.c_str(), 0755);  // mkdtemp makes 0700, which hides the folder from colleagues
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void NewFolder::require_space(std::uint64_t bytes) const {
  ranktune::require_space(options_.path.parent_path(), bytes);
}

void require_space(const Path& place, std::uint64_t bytes) {
  const std::uint64_t available = free_bytes(place);
  require(bytes <= available,
          "{}: {} MB are needed, but {} MB are free; free some space or give another folder", place.string(),
          bytes / 1000000 + 1, available / 1000000);
}

void NewFolder::commit() {
  sync_folder(temporary_);
  if (options_.allowed) options_.allowed();
  require_replaceable(options_.path, options_.replaces);  // it may have come meanwhile
  replace_folder(temporary_, options_.path);
}

}  // namespace ranktune
