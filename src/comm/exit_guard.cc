#include "comm/exit_guard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "comm/launch_environment.h"

namespace ranktune {
namespace {

/// How long MPI_Abort and the last words may take before the process leaves by itself.
constexpr std::chrono::seconds kAbortPatience(10);

}  // namespace

void leave_soon(int exit_code) noexcept {
  try {
    std::thread([exit_code] {
      std::this_thread::sleep_for(kAbortPatience);
      ::_exit(exit_code);
    }).detach();
  } catch (...) {
    // No memory for a thread: then the alarm clock ends the process, with its signal's exit code.
    ::alarm(static_cast<unsigned>(kAbortPatience.count()));
  }
}

void speak(int exit_code, std::string_view last_words) noexcept {
  try {
    if (!last_words.empty()) log_error_line(std::string(last_words));
    std::fflush(nullptr);
  } catch (...) {
    ::_exit(exit_code);
  }
}

ExitGuard::ExitGuard(double seconds, std::string last_words)
    : thread_([limit = std::chrono::duration<double>(seconds), words = std::move(last_words),
               well = all_is_well_.get_future()] {
        if (well.wait_for(limit) == std::future_status::ready) return;
        leave_soon(kExitError);
        speak(kExitError, words);
        ::_exit(kExitError);
      }) {}

ExitGuard::~ExitGuard() {
  all_is_well_.set_value();
  thread_.join();
}

double ExitGuard::turn(int rank) {
  constexpr int kTurnSeconds = 5, kMostTurns = 8;
  return kTurnSeconds * std::min(rank, kMostTurns);
}

std::unique_ptr<ExitGuard> guard_start(double seconds) {
  const int rank = launched_rank(process_environment());
  return std::make_unique<ExitGuard>(
      seconds + ExitGuard::turn(rank),
      fmt::format("rank {} on host {} has waited {:.0f} s (comm.timeout) for the start of all ranks: another "
                  "one hangs, or did not start; ending the job",
                  rank, host_name(), seconds));
}

}  // namespace ranktune
