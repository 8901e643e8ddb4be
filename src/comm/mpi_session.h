#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "comm/abort_signal.h"
#include "comm/comm_options.h"

namespace ranktune {

/// MPI from start to end: made once, by the main thread, before any other thread that calls MPI and any
/// communicator, and destroyed after all of them. Works with and without a launcher (then the process is a
/// world of one rank).
///
/// The constructor sets defaults for Open MPI where the user has set none (see launch_environment.h), asks
/// for MPI_THREAD_MULTIPLE, and turns MPI's fatal errors into Error. It throws Error when the environment
/// says that several processes were meant to form one job but MPI knows of one only.
///
/// A failure on one rank must end the others: inside the session's lifetime catch the error, log it and call
/// end_job. When the session is destroyed by an exception passing through, or after an abort, it ends the job
/// itself (exit code 1), for a clean MPI_Finalize would wait for ranks that wait for this one.
///
/// MPI_Finalize waits for all ranks, and nothing watches over them any more: where another one does not come
/// to its end, this one ends the job with an error when it has waited for set_patience() seconds.
class MpiSession {
 public:
  MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession();

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  /// Position among the ranks of the same machine, and their number: what a GPU is chosen by.
  int local_rank() const noexcept { return local_rank_; }
  int local_size() const noexcept { return local_size_; }
  /// Host name of every rank.
  const std::vector<std::string>& hosts() const noexcept { return hosts_; }
  /// Number of different machines.
  int node_count() const noexcept { return node_count_; }
  /// "Open MPI v4.1.4", the library that was loaded. Needs no session.
  static std::string library();

  /// Seconds for which the end of this process waits for that of the others.
  void set_patience(double seconds) noexcept { patience_ = seconds; }

  /// Shared by all communicators of the process.
  const std::shared_ptr<AbortSignal>& abort_signal() const noexcept { return abort_signal_; }

  /// Ends all ranks with this exit code (MPI_Abort; leaves by itself when that, or the printing of
  /// `last_words` as an error line, hangs). Callable from any thread.
  [[noreturn]] static void end_job(int exit_code, std::string_view last_words = {}) noexcept;

 private:
  void learn_places();
  void finalize() noexcept;

  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1, node_count_ = 1;
  int uncaught_at_start_ = 0;
  std::vector<std::string> hosts_;
  std::shared_ptr<AbortSignal> abort_signal_ = std::make_shared<AbortSignal>();
  double patience_ = CommOptions{}.timeout;  ///< seconds
};

}  // namespace ranktune
