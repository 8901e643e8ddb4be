#include "comm/abort_signal.h"

#include "base/error.h"

namespace ranktune {

void AbortSignal::raise(std::string_view reason) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (reason_.empty()) reason_ = reason;
  } catch (...) {
    // Out of memory for the text: the flag below is what counts.
  }
  raised_.store(true, std::memory_order_release);
}

std::string AbortSignal::reason() const {
  const std::lock_guard lock(mutex_);
  return reason_;
}

void AbortSignal::check(std::string_view call) const {
  if (raised()) fail("{} was given up: {}", call, reason());
}

}  // namespace ranktune
