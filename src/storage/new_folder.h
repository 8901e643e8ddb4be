#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/file.h"

namespace ranktune {

/// What a new folder may take the place of, beside an empty one.
enum class Replaces {
  kNothing,
  kModelFolder,  ///< has a config.json and no folders inside, so a mistyped path never costs anything else
  kAnyFolder,    ///< for names inside a folder of the program's own
};

struct NewFolderOptions {
  Path path;
  Replaces replaces = Replaces::kNothing;
  std::string mark{};               ///< in the temporary name, ".NAME.tmpMARK.XXXXXX": who is writing
  std::function<void()> allowed{};  ///< called just before the folder gets its own name; may throw
};

/// A folder that appears under its name only when whole: filled under another name beside its place, synced,
/// then renamed by commit(). Without commit() it is removed with everything in it.
class NewFolder {
 public:
  /// Error where something stands at the place that may not be replaced.
  explicit NewFolder(NewFolderOptions options);
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder();

  /// See the function below.
  void require_space(std::uint64_t bytes) const;
  /// Where to put the files.
  const Path& filling() const { return temporary_; }
  void commit();

 private:
  NewFolderOptions options_;
  Path temporary_;
};

/// Error, with both numbers, where fewer than `bytes` are free on the filesystem of the folder `place`.
void require_space(const Path& place, std::uint64_t bytes);

}  // namespace ranktune
