#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

namespace ranktune {

/// "Give up": raised once by any thread, noticed by all communicator calls that wait. The first reason stays.
class AbortSignal {
 public:
  void raise(std::string_view reason) noexcept;
  bool raised() const noexcept { return raised_.load(std::memory_order_acquire); }
  std::string reason() const;
  /// Throws Error with the reason once raised; `call` says what was going on.
  void check(std::string_view call) const;

 private:
  mutable std::mutex mutex_;
  std::string reason_;
  std::atomic<bool> raised_ = false;
};

}  // namespace ranktune
