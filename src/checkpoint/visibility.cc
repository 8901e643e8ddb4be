#include "checkpoint/visibility.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <system_error>
#include <thread>

#include "base/awake_time.h"
#include "base/error.h"

namespace ranktune {
namespace {

constexpr std::chrono::milliseconds kGlance{50};
/// Asking a network filesystem's server may take a while.
constexpr std::chrono::seconds kMostOfOneGlance{2};

/// The size as the server has it: unlike stat(), opening makes a network filesystem ask anew (close-to-open
/// consistency). Nothing where the file cannot be opened.
std::optional<std::uint64_t> size_seen(const Path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::nullopt;
  struct stat status {};
  const bool known = ::fstat(descriptor, &status) == 0;
  ::close(descriptor);
  return known ? std::optional(static_cast<std::uint64_t>(status.st_size)) : std::nullopt;
}

double seconds(std::chrono::milliseconds patience) { return static_cast<double>(patience.count()) / 1e3; }

}  // namespace

void wait_until_visible(const Path& folder, std::chrono::milliseconds patience) {
  std::error_code ignored;
  AwakeTime waited(kMostOfOneGlance);
  while (!std::filesystem::exists(folder, ignored)) {
    require(waited.look() < seconds(patience),
            "{} was made by another rank but is not visible here after {} s: is it on a filesystem that all "
            "machines share?",
            folder.string(), seconds(patience));
    std::this_thread::sleep_for(kGlance);
  }
}

void wait_until_visible(const Path& folder, const std::vector<ManifestEntry>& files,
                        std::chrono::milliseconds patience) {
  AwakeTime waited(kMostOfOneGlance);
  for (const ManifestEntry& file : files) {
    for (;;) {
      const std::optional<std::uint64_t> size = size_seen(folder / file.name);
      if (size == file.size) break;
      require(waited.look() < seconds(patience),
              "{} was written with {} bytes but {} here after {} s: is it on a filesystem that all machines "
              "share?",
              (folder / file.name).string(), file.size,
              size ? fmt::format("has {}", *size) : std::string("is not visible"), seconds(patience));
      std::this_thread::sleep_for(kGlance);
    }
  }
}

}  // namespace ranktune
