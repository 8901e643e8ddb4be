#pragma once

#include <cstdint>
#include <string>

namespace ranktune {

/// A process, described so that another one can tell whether it still lives.
struct ProcessIdentity {
  std::string host;     ///< its machine's name, for people
  std::string machine;  ///< boot and pid namespace: processes with the same text can see each other
  std::int64_t pid = 0;
  std::int64_t started = 0;   ///< clock ticks after the boot: pids are used again
  std::string job;            ///< Slurm's job, "" outside of one
  std::int64_t restarts = 0;  ///< of that job
};

ProcessIdentity this_process();

enum class Liveness { kAlive, kDead, kUnknown };

/// Whether the process lives, as far as it can be told from here: kUnknown for those of other machines.
Liveness liveness(const ProcessIdentity& other, const ProcessIdentity& self);

/// Whether the other one is of an earlier start of this one's Slurm job: Slurm has given up on it, although a
/// cut network may leave it running.
bool is_of_earlier_start(const ProcessIdentity& other, const ProcessIdentity& self);

}  // namespace ranktune
