#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace ranktune {

/// A file of a checkpoint: name inside the folder, size in bytes, hash_file() of the content.
struct ManifestEntry {
  std::string name;
  std::uint64_t size = 0;
  std::string hash;
};

/// A manifest that is whole but of another version of this program: refused, never taken for damage.
class OtherFormat : public Error {
  using Error::Error;
};

/// manifest.json, written last: {"format": 1, "step": …, "validation_loss": …, "files": [{name, size,
/// hash}…], "hash": of the rest}. FORMAT.md has all of it. A folder without a manifest that agrees with its
/// files is not a checkpoint.
struct Manifest {
  static constexpr int kFormat = 1;  ///< persistent; raise it when the meaning of a file changes

  std::int64_t step = 0;
  std::optional<double> validation_loss;  ///< of the parameters saved; chooses the best checkpoint
  std::vector<ManifestEntry> files;       ///< sorted by name

  std::string text() const;
  /// Errors name `where`; refuses other formats (OtherFormat where the text is whole), repeated or unclean
  /// names, and a text whose own hash does not fit.
  static Manifest parse(std::string_view text, std::string_view where);
  /// The manifest of a checkpoint folder; where that is named for a step, it must be of this step.
  static Manifest read(const Path& folder);

  std::uint64_t bytes() const;
  /// Number of optimizer files; throws, naming `where`, unless all parts are listed.
  int optimizer_parts(std::string_view where) const;
};

/// Entry of a file as it lies on disk. Reads it, and calls `progress` now and then.
ManifestEntry describe_file(const Path& folder, const std::string& name,
                            const std::function<void()>& progress = {});

/// Throws with the first file that is missing, of another size (all sizes come first) or of another hash.
/// Reads them all, and calls `progress` now and then.
void verify_files(const Path& folder, const Manifest& manifest, const std::function<void()>& progress = {});
/// What is wrong with each such file, sizes first; every message names its file.
std::vector<std::string> find_faults(const Path& folder, const Manifest& manifest);

}  // namespace ranktune
