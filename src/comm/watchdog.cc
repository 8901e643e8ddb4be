#include "comm/watchdog.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/mpi_check.h"
#include "comm/stall_judge.h"

namespace ranktune {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int kTag = 1;

/// One sign of life, as MPI_INT64_T words.
struct Heartbeat {
  std::int64_t state = 0;  ///< LifeState
  std::int64_t phase = 0;
  std::int64_t step = 0;
  std::int64_t since_progress_ms = 0;
  std::int64_t waiting_ms = -1;
};
constexpr int kHeartbeatWords = sizeof(Heartbeat) / sizeof(std::int64_t);

/// Persistent within a job only: all ranks run the same program.
enum LifeState : std::int64_t {
  kAlive,
  kClosing,  ///< its main thread is in stop()
  kGoodBye,  ///< its last message
};

/// One direction each of the traffic with another rank. MPI may use the buffers until the requests are done.
struct Link {
  int rank = 0;
  Heartbeat incoming, outgoing;
  MPI_Request receive = MPI_REQUEST_NULL, send = MPI_REQUEST_NULL;
  Clock::time_point heard;
  Heartbeat last;
};

Heartbeat heartbeat_of(const ActivityReport& report, LifeState state) {
  constexpr double kMilli = 1000;
  return {.state = state,
          .phase = static_cast<std::int64_t>(report.phase),
          .step = report.step,
          .since_progress_ms = static_cast<std::int64_t>(report.since_progress * kMilli),
          .waiting_ms = report.waiting < 0 ? -1 : static_cast<std::int64_t>(report.waiting * kMilli)};
}

ActivityReport report_of(const Heartbeat& heartbeat) {
  constexpr double kMilli = 1e-3;
  return {.phase = static_cast<Phase>(heartbeat.phase),
          .step = heartbeat.step,
          .since_progress = static_cast<double>(heartbeat.since_progress_ms) * kMilli,
          .waiting = heartbeat.waiting_ms < 0 ? -1 : static_cast<double>(heartbeat.waiting_ms) * kMilli};
}

}  // namespace

class Watchdog::Impl {
 public:
  Impl(const MpiSession& session, const CommOptions& options, Activity& activity);
  ~Impl();
  void close();

 private:
  enum class Wish { kWatch, kClose, kQuit };

  void loop();
  void start_receive(Link& link);
  void receive_all();
  void send_to_all(LifeState state);
  bool sends_done();
  void begin_turn();
  void judge();
  void judge_rank_zero(const Link& link);
  bool all_closing() const;
  bool all_gone() const;
  void take_leave();
  void drop_requests();
  double silence(const Link& link) const { return Seconds(turn_ - link.heard).count(); }
  std::string name(int rank) const {
    return fmt::format("rank {} on host {}", rank, session_.hosts()[static_cast<std::size_t>(rank)]);
  }
  /// The thread's nap: short once the end is near, else a part of the heartbeat.
  Seconds nap() const;

  const MpiSession& session_;
  const CommOptions options_;
  Activity& activity_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  std::vector<Link> links_;  ///< rank 0: to all others; another rank: to rank 0
  Clock::time_point turn_;   ///< when this turn of the thread began; all it says and judges is as of then
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<Wish> wish_ = Wish::kWatch;  ///< changed under mutex_, for the sleeper's sake
  std::thread thread_;
};

Watchdog::Impl::Impl(const MpiSession& session, const CommOptions& options, Activity& activity)
    : session_(session), options_(options), activity_(activity) {
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
  mpi_check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  turn_ = Clock::now();
  const int first = session.rank() == 0 ? 1 : 0, last = session.rank() == 0 ? session.size() - 1 : 0;
  const int links = last - first + 1;
  links_.resize(static_cast<std::size_t>(links));
  for (std::size_t i = 0; i < links_.size(); ++i) {
    links_[i].rank = first + static_cast<int>(i);
    links_[i].heard = turn_;
    start_receive(links_[i]);
  }
  thread_ = std::thread([this] {
    try {
      loop();
    } catch (const std::exception& error) {
      MpiSession::end_job(kExitError, fmt::format("watchdog: {}; ending the job", error.what()));
    }
  });
}

Watchdog::Impl::~Impl() {
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      wish_ = Wish::kQuit;
    }
    wake_.notify_all();
    thread_.join();
    drop_requests();
  } else {
    MPI_Comm_free(&comm_);
  }
}

void Watchdog::Impl::close() {
  const ScopedWait mark(&activity_);
  {
    const std::lock_guard lock(mutex_);
    wish_ = Wish::kClose;
  }
  wake_.notify_all();
  thread_.join();
}

Seconds Watchdog::Impl::nap() const {
  constexpr Seconds kShortest(0.05), kLongest(0.25), kClosingNap(0.01);
  if (wish_ == Wish::kClose) return kClosingNap;
  return std::clamp(Seconds(options_.heartbeat / 4), kShortest, kLongest);
}

void Watchdog::Impl::loop() {
  Clock::time_point last_send{};
  Wish last_wish = Wish::kWatch;
  while (true) {
    const Wish now_wish = wish_;
    if (now_wish == Wish::kQuit) return;
    begin_turn();
    receive_all();
    if (now_wish != last_wish || Seconds(turn_ - last_send).count() >= options_.heartbeat) {
      send_to_all(now_wish == Wish::kClose ? kClosing : kAlive);
      last_send = turn_;
      last_wish = now_wish;
    }
    if (now_wish == Wish::kClose && all_closing()) return take_leave();
    judge();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, nap(), [&] { return wish_ != now_wish; });
  }
}

void Watchdog::Impl::start_receive(Link& link) {
  mpi_check(MPI_Irecv(&link.incoming, kHeartbeatWords, MPI_INT64_T, link.rank, kTag, comm_, &link.receive),
            "MPI_Irecv");
}

void Watchdog::Impl::receive_all() {
  for (Link& link : links_) {
    while (link.receive != MPI_REQUEST_NULL) {
      int done = 0;
      mpi_check(MPI_Test(&link.receive, &done, MPI_STATUS_IGNORE), "MPI_Test");
      if (done == 0) break;
      link.last = link.incoming;
      link.heard = turn_;
      if (link.last.state != kGoodBye) start_receive(link);
    }
  }
}

void Watchdog::Impl::send_to_all(LifeState state) {
  const Heartbeat heartbeat = heartbeat_of(activity_.report(turn_), state);
  for (Link& link : links_) {
    int done = 1;
    if (link.send != MPI_REQUEST_NULL) mpi_check(MPI_Test(&link.send, &done, MPI_STATUS_IGNORE), "MPI_Test");
    // A rank that does not take its messages gets no more of them: they would pile up.
    if (done == 0) continue;
    link.outgoing = heartbeat;
    mpi_check(MPI_Isend(&link.outgoing, kHeartbeatWords, MPI_INT64_T, link.rank, kTag, comm_, &link.send),
              "MPI_Isend");
  }
}

bool Watchdog::Impl::sends_done() {
  bool all = true;
  for (Link& link : links_) {
    int done = 1;
    if (link.send != MPI_REQUEST_NULL) mpi_check(MPI_Test(&link.send, &done, MPI_STATUS_IGNORE), "MPI_Test");
    all = all && done != 0;
  }
  return all;
}

void Watchdog::Impl::begin_turn() {
  // The whole job may have been stopped and continued (a suspended allocation, a laptop asleep): then nobody
  // could be heard and nobody could get on. Loaded machines delay a turn by less than this. A stop in the
  // middle of a turn is the next one's to notice, which is why a turn reads the clock only here.
  constexpr double kOverslept = 1;
  const Clock::time_point last = std::exchange(turn_, Clock::now());
  const double lost = Seconds(turn_ - last).count() - nap().count();
  if (lost < kOverslept) return;
  for (Link& link : links_) link.heard += std::chrono::duration_cast<Clock::duration>(Seconds(lost));
  activity_.forgive(lost);
}

void Watchdog::Impl::judge() {
  if (session_.rank() != 0) return judge_rank_zero(links_.front());
  std::vector<RankState> states(links_.size() + 1);
  states[0].activity = activity_.report(turn_);
  for (std::size_t i = 0; i < links_.size(); ++i) {
    states[i + 1] = {.activity = report_of(links_[i].last),
                     .silent = silence(links_[i]),
                     .finished = links_[i].last.state == kGoodBye};
  }
  if (const auto verdict = find_stall(states, options_.timeout)) {
    MpiSession::end_job(kExitError,
                        fmt::format("{} {}; ending the job", name(verdict->rank), verdict->finding));
  }
}

void Watchdog::Impl::judge_rank_zero(const Link& link) {
  // One after the other, so that one line is printed: the first that still runs ends the job.
  constexpr int kMostTurns = 8;
  const double turn = 2 * std::max(options_.heartbeat, 0.5) * std::min(session_.rank() - 1, kMostTurns);
  const RankState state = {
      .activity = report_of(link.last), .silent = silence(link), .finished = link.last.state == kGoodBye};
  if (state.silent <= options_.timeout + turn) return;
  if (const auto verdict = find_stall(std::span(&state, 1), options_.timeout)) {
    MpiSession::end_job(kExitError, fmt::format("{} {}; ending the job", name(0), verdict->finding));
  }
}

bool Watchdog::Impl::all_closing() const {
  // Rank 0 collects; the others wait for its good-bye.
  const LifeState needed = session_.rank() == 0 ? kClosing : kGoodBye;
  return std::all_of(links_.begin(), links_.end(),
                     [&](const Link& link) { return link.last.state >= needed; });
}

bool Watchdog::Impl::all_gone() const {
  return std::all_of(links_.begin(), links_.end(),
                     [](const Link& link) { return link.last.state == kGoodBye; });
}

void Watchdog::Impl::take_leave() {
  // Good-byes are the last messages both ways, so that nothing is left unread when MPI ends.
  constexpr std::chrono::milliseconds kNap(2);
  while (!sends_done()) {
    begin_turn();
    judge();
    std::this_thread::sleep_for(kNap);
  }
  send_to_all(kGoodBye);
  while (true) {
    begin_turn();
    receive_all();
    if (sends_done() && all_gone()) return;
    judge();
    std::this_thread::sleep_for(kNap);
  }
}

void Watchdog::Impl::drop_requests() {
  for (Link& link : links_) {
    for (MPI_Request* request : {&link.receive, &link.send}) {
      if (*request == MPI_REQUEST_NULL) continue;
      MPI_Cancel(request);
      MPI_Request_free(request);
    }
  }
}

Watchdog::Watchdog(const MpiSession& session, const CommOptions& options) {
  check_comm_options(options);
  // Alone there is nobody to wait for, nor to notice.
  if (session.size() > 1) impl_ = std::make_unique<Impl>(session, options, activity_);
}

Watchdog::~Watchdog() = default;

void Watchdog::stop() {
  if (!impl_) return;
  enter(Phase::kFinish, activity_.report().step);
  impl_->close();
  impl_.reset();
}

}  // namespace ranktune
