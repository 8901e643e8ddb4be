#include "storage/prefetch.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace ranktune {

void prefetch(std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) return;
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()), first = begin / page * page;
  static_cast<void>(::madvise(reinterpret_cast<void*>(first), bytes.size() + (begin - first), MADV_WILLNEED));
}

}  // namespace ranktune
