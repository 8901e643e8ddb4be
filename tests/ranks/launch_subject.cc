// The program that launch_test.cc starts as a job: a small training-like loop under the watchdog, with a
// fault.
//   launch_subject SCENARIO RANK TIMEOUT

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "comm/mpi_communicator.h"
#include "comm/watchdog.h"

namespace ranktune {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr int kFaultStep = 5;

void sleep_seconds(double seconds) { std::this_thread::sleep_for(Seconds(seconds)); }

std::ptrdiff_t thread_count() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// One line, at once: several ranks write to one stream.
void say(const std::string& text) {
  const std::string line = text + "\n";
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::abort();
}

struct Job {
  MpiSession& session;
  CommOptions options;
  std::string scenario;
  int target = 0;
  bool is_target() const { return session.rank() == target; }
};

using Fault = std::function<void(Watchdog&, Communicator&)>;

void train(const Job& job, int steps, const Fault& fault) {
  const std::ptrdiff_t threads_before = thread_count();
  Watchdog watchdog(job.session, job.options);
  const auto comm = make_control_communicator(job.session, job.options, watchdog.activity());
  for (int step = 1; step <= steps; ++step) {
    watchdog.enter(Phase::kForward, step);
    sleep_seconds(0.01);
    if (step == kFaultStep) {
      say("fault pid=" + std::to_string(::getpid()));
      fault(watchdog, *comm);
    }
    watchdog.enter(Phase::kReduceScatter, step);
    const int sum = all_reduce_value(*comm, 1, ReduceOp::kSum);
    require(sum == job.session.size(), "the sum is {}", sum);
  }
  watchdog.stop();
  // A thread that has been joined may stand in /proc for a moment.
  for (int i = 0; i < 100 && thread_count() != threads_before; ++i) sleep_seconds(0.01);
  require(thread_count() == threads_before, "{} threads before, {} after", threads_before, thread_count());
  say("done");
}

void run(const Job& job) {
  const double timeout = job.options.timeout;
  const std::map<std::string, Fault> faults = {
      {"none", [](Watchdog&, Communicator&) {}},
      {"stop",
       [&](Watchdog&, Communicator&) {
         // So that the others know where it was: in parts, of which a machine that stands still takes one.
         for (int i = 0; i < 12; ++i) sleep_seconds(job.options.heartbeat / 4);
         if (job.is_target()) ::raise(SIGSTOP);
       }},
      {"kill",
       [&](Watchdog&, Communicator&) {
         if (job.is_target()) ::raise(SIGKILL);
       }},
      {"stuck",
       [&](Watchdog&, Communicator&) {
         if (job.is_target()) sleep_seconds(1000);
       }},
      {"crossed",
       [&](Watchdog& watchdog, Communicator& comm) {
         const auto other = comm.duplicate();
         watchdog.enter(Phase::kAllGather, kFaultStep);
         (job.is_target() ? comm : *other).barrier();
       }},
      {"all_slow",
       [&](Watchdog&, Communicator&) {
         const double before = cpu_seconds(), seconds = 2.5 * timeout;
         sleep_seconds(seconds);
         const double used = cpu_seconds() - before;
         require(used < 0.03 * seconds, "the watchdog used {} s of CPU in {} s", used, seconds);
       }},
      {"moving",
       [&](Watchdog& watchdog, Communicator&) {
         for (int i = 0; i < 25 && job.is_target(); ++i) {
           sleep_seconds(timeout / 10);
           watchdog.progress();
         }
       }},
      {"pause", [&](Watchdog&, Communicator&) { sleep_seconds(timeout); }},
      {"throw", [&](Watchdog&, Communicator&) { require(!job.is_target(), "a fault of one rank"); }},
  };
  if (job.scenario == "no_watchdog") {
    const auto comm = make_mpi_communicator(job.session, {.timeout = timeout});
    if (job.is_target()) sleep_seconds(1000);
    comm->barrier();
  }
  train(job, 2 * kFaultStep, faults.at(job.scenario));
}

}  // namespace
}  // namespace ranktune

int main(int argc, char** argv) {
  using namespace ranktune;
  if (argc != 4) return kExitUsage;
  try {
    MpiSession session;
    set_log_rank(session.rank(), session.size());
    const Job job = {.session = session,
                     .options = {.timeout = std::atof(argv[3]), .heartbeat = 0.2},
                     .scenario = argv[1],
                     .target = std::atoi(argv[2])};
    if (job.scenario == "throw") {
      run(job);
      return kExitDone;
    }
    try {
      run(job);
    } catch (const std::exception& error) {
      constexpr int kTestsOwn = 7;
      MpiSession::end_job(kTestsOwn, error.what());
    }
  } catch (const std::exception& error) {
    log_error("{}", error.what());
    return kExitError;
  }
  return kExitDone;
}
