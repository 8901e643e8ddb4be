#pragma once

#include <chrono>
#include <vector>

#include "base/file.h"
#include "checkpoint/manifest.h"

namespace ranktune {

/// Network filesystems may show what one machine wrote to the others only when their caches expire.
inline constexpr std::chrono::milliseconds kVisibilityPatience{30'000};

/// Waits until `folder` is seen from this process.
void wait_until_visible(const Path& folder, std::chrono::milliseconds patience = kVisibilityPatience);

/// Waits until every file of `files` is seen in `folder` with the size it has there. Throws with the first
/// that is not after `patience`, which is for all of them together.
void wait_until_visible(const Path& folder, const std::vector<ManifestEntry>& files,
                        std::chrono::milliseconds patience = kVisibilityPatience);

}  // namespace ranktune
