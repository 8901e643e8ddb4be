#include "comm/exit_guard.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/awake_time.h"
#include "base/error.h"
#include "base/log.h"

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
    : thread_([seconds, words = std::move(last_words), well = all_is_well_.get_future()] {
        constexpr std::chrono::milliseconds kSlice(250);
        for (AwakeTime waited(2 * kSlice); waited.look() < seconds;)
          if (well.wait_for(kSlice) == std::future_status::ready) return;
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

}  // namespace ranktune
