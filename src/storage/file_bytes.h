#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "base/file.h"

namespace ranktune {

/// The bytes of a file and whatever keeps them in memory (a mapping, a shared-memory window, a string).
struct FileBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> keeper;
};

/// Where the bytes of a file come from. Ranks that have no access to a file give one that receives them.
using ByteSource = std::function<FileBytes(const Path&)>;

/// The usual source: a read-only map, whose pages all processes of a machine share.
FileBytes map_file(const Path& path);

}  // namespace ranktune
