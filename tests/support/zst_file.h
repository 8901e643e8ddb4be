#pragma once

#include <gtest/gtest.h>
#include <zstd.h>

#include <stdexcept>
#include <string>

#include "base/file.h"

namespace ranktune {

/// The content of a file compressed with zstd in one frame that states its size (link deps::zstd).
inline std::string read_zst(const Path& path) {
  const std::string packed = read_file(path);
  const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
    throw std::runtime_error(path.string() + ": not a zstd file of known size");
  std::string text(size, '\0');
  const std::size_t got = ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) != 0 || got != size) throw std::runtime_error(path.string() + ": damaged");
  return text;
}

}  // namespace ranktune
