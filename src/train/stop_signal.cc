#include "train/stop_signal.h"

#include <atomic>
#include <cstddef>

namespace ranktune {
namespace {

std::atomic<int> stop_signal_received{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free words");

void remember(int signal) {
  if (signal == SIGINT && stop_signal_received.load() == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  stop_signal_received.store(signal);
}

}  // namespace

StopSignal::StopSignal() {
  stop_signal_received.store(0);
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags =
      SA_RESTART;  // a half-done read or write goes on; only the trainer's loop looks at the flag
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &before_[i]);
}

StopSignal::~StopSignal() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
}

int StopSignal::received() noexcept { return stop_signal_received.load(); }

}  // namespace ranktune
