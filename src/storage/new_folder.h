#pragma once

#include <cstdint>

#include "base/file.h"

namespace ranktune {

/// A folder that appears under its name only when whole: filled under another name beside its place, synced,
/// then renamed by commit(). Without commit() it is removed with everything in it.
class NewFolder {
 public:
  /// `path` must not exist or be an empty folder. With `overwrite` it may also be a model folder: one that
  /// has a config.json and no folders inside, so that a mistyped path never costs anything else.
  NewFolder(Path path, bool overwrite);
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder();

  /// See the function below.
  void require_space(std::uint64_t bytes) const;
  /// Where to put the files.
  const Path& filling() const { return temporary_; }
  void commit();

 private:
  Path path_, temporary_;
};

/// Error, with both numbers, where fewer than `bytes` are free on the filesystem of the folder `place`.
void require_space(const Path& place, std::uint64_t bytes);

}  // namespace ranktune
