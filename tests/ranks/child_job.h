#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace ranktune {

/// A program run as a child in a process group of its own, with stdout and stderr as one stream of lines.
/// Environment variables of a surrounding MPI job or Slurm allocation are not passed on.
class ChildJob {
 public:
  using Variables = std::vector<std::pair<std::string, std::string>>;
  explicit ChildJob(const std::vector<std::string>& command, const Variables& extra_environment = {});
  ChildJob(const ChildJob&) = delete;
  ChildJob& operator=(const ChildJob&) = delete;
  /// Kills what still runs.
  ~ChildJob();

  /// Reads until `count` lines containing `part` have come; false when the job ended or `limit` passed
  /// before.
  bool read_until(const std::string& part, std::size_t count, std::chrono::seconds limit);
  /// Reads to the end and waits for the exit code (128 + signal; -1 when `limit` passed, then the job is
  /// killed).
  int finish(std::chrono::seconds limit);

  const std::vector<std::string>& lines() const { return lines_; }
  std::vector<std::string> lines_with(const std::string& part) const;
  /// All output, for failure messages.
  std::string output() const;

 private:
  /// Waits for more output up to the deadline; false at its end or when the time is up.
  bool read_more(std::chrono::steady_clock::time_point deadline);

  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string partial_;
  std::vector<std::string> lines_;
};

/// mpiexec with what a launch on any machine needs, for `ranks` ranks of `program`.
std::vector<std::string> mpiexec(int ranks, const std::string& program,
                                 const std::vector<std::string>& arguments);

}  // namespace ranktune
