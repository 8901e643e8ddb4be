#include "storage/read_range.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace ranktune {

void read_range(const Path& path, std::uint64_t offset, std::span<std::byte> out) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("cannot open {}{}", path.string(), errno_text());
  // Advice only: the system's own reading ahead would fetch the parts of other ranks.
  static_cast<void>(::posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM));
  std::size_t done = 0;
  ssize_t got = 1;
  while (done < out.size() && got > 0) {
    got = ::pread(descriptor, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR)
      got = 1;
    else if (got > 0)
      done += static_cast<std::size_t>(got);
  }
  const std::string reason = got < 0 ? errno_text() : "";
  ::close(descriptor);
  require(got >= 0, "cannot read {} at byte {}{}", path.string(), offset + done, reason);
  require(done == out.size(), "{} ends at byte {}, but is to be read up to byte {}", path.string(),
          offset + done, offset + out.size());
}

}  // namespace ranktune
