#include "storage/new_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/error.h"

namespace ranktune {
namespace {

namespace fs = std::filesystem;

void require_replaceable(const Path& path, bool overwrite) {
  if (!fs::exists(fs::symlink_status(path))) return;
  require(fs::is_directory(path), "{} exists and is not a folder", path.string());
  if (fs::is_empty(path)) return;
  require(overwrite, "{} exists and is not empty; give another folder, or --overwrite to replace it",
          path.string());
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

NewFolder::NewFolder(Path path, bool overwrite) : path_(plain(path)) {
  require_replaceable(path_, overwrite);
  make_folders(path_.parent_path());
  std::string name = fmt::format("{}/.{}.XXXXXX", path_.parent_path().string(), path_.filename().string());
  if (::mkdtemp(name.data()) == nullptr) fail("cannot write {}{}", path_.string(), errno_text());
  temporary_ = name;
  ::chmod(temporary_.c_str(), 0755);  // mkdtemp makes 0700, which hides the folder from colleagues
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void NewFolder::require_space(std::uint64_t bytes) const {
  ranktune::require_space(path_.parent_path(), bytes);
}

void require_space(const Path& place, std::uint64_t bytes) {
  const std::uint64_t available = free_bytes(place);
  require(bytes <= available,
          "{}: {} MB are needed, but {} MB are free; free some space or give another folder", place.string(),
          bytes / 1000000 + 1, available / 1000000);
}

void NewFolder::commit() {
  sync_folder(temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) == 0) {  // nothing was there, or an empty folder
    temporary_.clear();
  } else {
    const bool occupied = errno == ENOTEMPTY || errno == EEXIST;
    // An exchange leaves a whole folder under the name at any moment; the old one is removed by the
    // destructor.
    if (!occupied || ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) != 0)
      fail("cannot rename {} to {}{}", temporary_.string(), path_.string(), errno_text());
  }
  sync_folder(path_.parent_path());
}

}  // namespace ranktune
