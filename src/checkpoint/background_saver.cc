#include "checkpoint/background_saver.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"

namespace ranktune {
namespace {

/// How often a waiting main thread looks at what its writer is doing.
constexpr std::chrono::milliseconds kGlance{50};

/// Tells the watchdog truly what a thread waits for that waits for its writer: for other ranks while the
/// writer does, else for this rank's own disk, which is then the one to blame.
class WaitMark {
 public:
  WaitMark(const Activity* network, Activity* activity) : network_(network), activity_(activity) {}
  WaitMark(const WaitMark&) = delete;
  WaitMark& operator=(const WaitMark&) = delete;
  ~WaitMark() { set(false); }

  void update() {
    if (network_ == nullptr) return;
    const ActivityReport writer = network_->report();
    set(writer.waiting >= 0);
    const bool moves = writer.since_progress < 4 * std::chrono::duration<double>(kGlance).count();
    if (!waiting_ && moves && activity_ != nullptr) activity_->progress();
  }

 private:
  void set(bool waiting) {
    if (activity_ == nullptr || waiting == waiting_) return;
    if (waiting)
      activity_->begin_wait();
    else
      activity_->end_wait();
    waiting_ = waiting;
  }

  const Activity* network_;
  Activity* activity_;
  bool waiting_ = false;
};

}  // namespace

struct BackgroundSaver::State {
  explicit State(Setup given) : setup(std::move(given)) {}

  Setup setup;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<CheckpointSnapshot> job;  ///< what the writer is to take up
  bool busy = false;
  bool stopping = false;
  std::optional<SaveResult> result;
  std::exception_ptr error;
  std::thread thread;

  void run();
  void save(const CheckpointSnapshot& snapshot);
  /// Under the eyes of the watchdog, while an exception passes through, too.
  void wait_until_idle(std::unique_lock<std::mutex>& lock);
  std::optional<SaveResult> take_result();
};

void BackgroundSaver::State::save(const CheckpointSnapshot& snapshot) {
  try {
    SaveResult done = save_checkpoint(setup.save, snapshot, *setup.communicator);
    const std::lock_guard lock(mutex);
    result = std::move(done);
  } catch (...) {
    const std::lock_guard lock(mutex);
    error = std::current_exception();
  }
}

void BackgroundSaver::State::run() {
  for (;;) {
    std::optional<CheckpointSnapshot> snapshot;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return stopping || job; });
      if (!job) return;
      snapshot.swap(job);
    }
    save(*snapshot);
    snapshot.reset();  // its memory is free before the next one is made
    const std::lock_guard lock(mutex);
    busy = false;
    changed.notify_all();
  }
}

void BackgroundSaver::State::wait_until_idle(std::unique_lock<std::mutex>& lock) {
  WaitMark mark(setup.network, setup.activity);
  while (!changed.wait_for(lock, kGlance, [this] { return !busy; })) mark.update();
}

/// The caller holds the mutex.
std::optional<SaveResult> BackgroundSaver::State::take_result() {
  if (error) std::rethrow_exception(error);
  return std::exchange(result, std::nullopt);
}

BackgroundSaver::BackgroundSaver(Setup setup) : state_(std::make_unique<State>(std::move(setup))) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

BackgroundSaver::~BackgroundSaver() {
  {
    std::unique_lock lock(state_->mutex);
    state_->wait_until_idle(lock);
    state_->stopping = true;
    state_->changed.notify_all();
  }
  state_->thread.join();
}

const SaveSetup& BackgroundSaver::setup() const { return state_->setup.save; }

void BackgroundSaver::start(CheckpointSnapshot snapshot) {
  const std::lock_guard lock(state_->mutex);
  require(!state_->busy, "a checkpoint of step {} was started while another is being saved", snapshot.step);
  state_->busy = true;
  state_->result.reset();
  state_->job = std::move(snapshot);
  state_->changed.notify_all();
}

std::optional<SaveResult> BackgroundSaver::poll() {
  const std::lock_guard lock(state_->mutex);
  if (state_->busy) return std::nullopt;
  return state_->take_result();
}

std::optional<SaveResult> BackgroundSaver::finish() {
  std::unique_lock lock(state_->mutex);
  state_->wait_until_idle(lock);
  return state_->take_result();
}

}  // namespace ranktune
