#include "ranks/child_job.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <thread>

extern char** environ;

namespace ranktune {
namespace {

std::vector<std::string> clean_environment(const ChildJob::Variables& extra) {
  constexpr std::array<std::string_view, 5> kForeign = {"OMPI_", "PMIX_", "PMI_", "SLURM_", "PRTE_"};
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    if (std::none_of(kForeign.begin(), kForeign.end(),
                     [&](auto each) { return variable.starts_with(each); })) {
      environment.emplace_back(variable);
    }
  }
  environment.insert(environment.end(), {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"});
  for (const auto& [name, value] : extra) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

ChildJob::ChildJob(const std::vector<std::string>& command, const Variables& extra_environment) {
  std::vector<std::string> arguments = command, environment = clean_environment(extra_environment);
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
  pid_ = ::fork();
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  pipe_ = ends[0];
  if (pid_ < 0) throw std::runtime_error("cannot start a process");
}

ChildJob::~ChildJob() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (pipe_ >= 0) ::close(pipe_);
}

bool ChildJob::read_more(std::chrono::steady_clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd ready = {.fd = pipe_, .events = POLLIN, .revents = 0};
  if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
  std::array<char, 4096> bytes{};
  const ssize_t got = ::read(pipe_, bytes.data(), bytes.size());
  if (got <= 0) return false;
  partial_.append(bytes.data(), static_cast<std::size_t>(got));
  for (std::size_t end; (end = partial_.find('\n')) != std::string::npos; partial_.erase(0, end + 1)) {
    lines_.push_back(partial_.substr(0, end));
  }
  return true;
}

bool ChildJob::read_until(const std::string& part, std::size_t count, std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (lines_with(part).size() < count) {
    if (!read_more(deadline)) return false;
  }
  return true;
}

int ChildJob::finish(std::chrono::seconds limit) {
  constexpr std::chrono::milliseconds kNap(5);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (read_more(deadline)) {
  }
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid_, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kNap);
  }
  if (ended != pid_) return -1;
  ::kill(-pid_, SIGKILL);  // ranks that outlived their launcher
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> ChildJob::lines_with(const std::string& part) const {
  std::vector<std::string> found;
  std::copy_if(lines_.begin(), lines_.end(), std::back_inserter(found),
               [&](const std::string& line) { return line.find(part) != std::string::npos; });
  return found;
}

std::string ChildJob::output() const {
  std::string all;
  for (const std::string& line : lines_) all += line + "\n";
  return all + partial_;
}

std::vector<std::string> mpiexec(int ranks, const std::string& program,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {
      RANKTUNE_MPIEXEC, "--oversubscribe", "--bind-to", "none", "-n", std::to_string(ranks), program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace ranktune
