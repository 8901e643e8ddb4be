#pragma once

#include <cstddef>
#include <span>

namespace ranktune {

/// Tells the system that these bytes of a mapped file are needed soon: it reads them in the background, in
/// pieces as large as the disk likes, instead of a few pages at each fault. Advice only.
void prefetch(std::span<const std::byte> bytes) noexcept;

}  // namespace ranktune
