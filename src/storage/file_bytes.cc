#include "storage/file_bytes.h"

namespace ranktune {

FileBytes map_file(const Path& path) {
  auto mapped = std::make_shared<const MappedFile>(path);
  const auto bytes = mapped->bytes();
  return FileBytes{bytes, std::move(mapped)};
}

}  // namespace ranktune
