#pragma once

#include <array>
#include <csignal>

namespace ranktune {

/// From construction on, SIGTERM, SIGUSR1, SIGUSR2 and SIGINT no longer end the process but are remembered,
/// so that the trainer can finish its step and save. A second SIGINT ends the process as usual. Its end
/// brings back what was before; a launcher that repeats its request lets the ranks ignore it. One instance
/// per process.
class StopSignal {
 public:
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  ~StopSignal();

  /// The signal's number, or 0 while none came.
  static int received() noexcept;

 private:
  static constexpr std::array kSignals{SIGTERM, SIGUSR1, SIGUSR2, SIGINT};
  std::array<struct sigaction, kSignals.size()> before_{};
};

}  // namespace ranktune
