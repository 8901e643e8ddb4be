#pragma once

#include <future>
#include <string>
#include <string_view>
#include <thread>

namespace ranktune {

/// Makes the process leave with this exit code by itself, some seconds from now, whatever its threads wait
/// for: MPI_Abort may wait for a daemon that is gone, and stderr for a reader.
void leave_soon(int exit_code) noexcept;

/// Writes `last_words` as an error line, where there are any, and what is buffered.
void speak(int exit_code, std::string_view last_words) noexcept;

/// Ends the process with exit code 1 and `last_words` unless it is destroyed within `seconds`. For what no
/// watchdog watches over: the time before all ranks have met, and after they have parted. Not by MPI_Abort,
/// which makes mpirun crash or hang in the middle of MPI_Init or MPI_Finalize.
class ExitGuard {
 public:
  ExitGuard(double seconds, std::string last_words);
  ExitGuard(const ExitGuard&) = delete;
  ExitGuard& operator=(const ExitGuard&) = delete;
  ~ExitGuard();

  /// Seconds by which a rank speaks later than rank 0, so that one line is printed: the first to speak ends
  /// the job. Long enough for a launcher on a busy machine to end all ranks after that, though they have not
  /// begun to wait at the same moment.
  static double turn(int rank);

 private:
  std::promise<void> all_is_well_;
  std::thread thread_;
};

}  // namespace ranktune
