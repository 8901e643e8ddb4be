#include "ownership/process_identity.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/log.h"

namespace ranktune {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  // To its end. Where the process goes between opening and reading, an istreambuf_iterator would throw.
  std::getline(file, text, '\0');
  return text;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

/// "" where the system does not tell: then nothing is known of other processes.
std::string machine_text() {
  std::string boot = text_of("/proc/sys/kernel/random/boot_id");
  boot = boot.substr(0, boot.find('\n'));
  std::error_code error;
  const auto space = std::filesystem::read_symlink("/proc/self/ns/pid", error);
  return boot.empty() || error ? std::string() : boot + " " + space.string();
}

struct ProcessState {
  char state = 0;  ///< 'Z' and 'X' have ended; 0: there is no such process
  std::int64_t started = 0;
};

/// Of /proc/PID/stat (proc(5)): the fields after the last ')' are state, ... and as the 20th the start time.
ProcessState state_of(std::int64_t pid) {
  const std::string text = text_of(fmt::format("/proc/{}/stat", pid));
  const std::size_t end_of_name = text.rfind(')');
  if (end_of_name == text.npos) return {};
  constexpr int kStartTime = 20;
  std::istringstream fields(text.substr(end_of_name + 1));
  ProcessState result;
  fields >> result.state;
  std::string field;
  for (int i = 2; i <= kStartTime; ++i) fields >> field;
  std::from_chars(field.data(), field.data() + field.size(), result.started);
  return result;
}

}  // namespace

ProcessIdentity this_process() {
  ProcessIdentity self{.host = host_name(),
                       .machine = machine_text(),
                       .pid = ::getpid(),
                       .started = state_of(::getpid()).started,
                       .job = variable("SLURM_JOB_ID"),
                       .restarts = 0};
  const std::string restarts = variable("SLURM_RESTART_COUNT");
  std::from_chars(restarts.data(), restarts.data() + restarts.size(), self.restarts);
  return self;
}

Liveness liveness(const ProcessIdentity& other, const ProcessIdentity& self) {
  if (self.machine.empty() || other.machine != self.machine) return Liveness::kUnknown;
  const ProcessState state = state_of(other.pid);
  const bool ended = state.state == 0 || state.state == 'Z' || state.state == 'X';
  return ended || state.started != other.started ? Liveness::kDead : Liveness::kAlive;
}

bool is_of_earlier_start(const ProcessIdentity& other, const ProcessIdentity& self) {
  return !self.job.empty() && other.job == self.job && other.restarts < self.restarts;
}

}  // namespace ranktune
