#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/file.h"

namespace ranktune {

/// Fills `out` with the bytes of the file from `offset` on and asks the system for no others. What fails or
/// ends early is an Error, where a memory map would be a signal.
void read_range(const Path& path, std::uint64_t offset, std::span<std::byte> out);

}  // namespace ranktune
