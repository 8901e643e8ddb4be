#include "train/step_feed.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/collectives.h"

namespace ranktune {
namespace {

constexpr std::size_t kReady = 2;

/// What stands before the bytes of each broadcast.
enum class MessageKind : std::int64_t { kBatch = 1, kError = 2, kEnd = 3 };

}  // namespace

struct StepFeed::State {
  std::unique_ptr<Communicator> communicator;
  Source source;
  Activity* activity = nullptr;
  std::int64_t next_step = 0, last_step = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<StepBatch> ready;
  std::string error;
  bool error_is_everywhere = false;  ///< rank 0 sent it, so every rank meets it after the same batch
  bool stopping = false;
  double waited = 0;
  std::thread thread;

  void run();
  std::string produce(MessageKind& kind);
  bool wait_for_room();
  void deliver(MessageKind kind, const std::string& bytes);
};

/// Rank 0: the next message. A batch is read before its place in the queue is free, so reading overlaps
/// training too.
std::string StepFeed::State::produce(MessageKind& kind) {
  try {
    if (next_step >= last_step) {
      kind = MessageKind::kEnd;
      return {};
    }
    const std::vector<std::byte> bytes = serialise(source(next_step));
    kind = MessageKind::kBatch;
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  } catch (const std::exception& problem) {
    kind = MessageKind::kError;
    return problem.what();
  }
}

/// False when the feed is being stopped.
bool StepFeed::State::wait_for_room() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return stopping || ready.size() < kReady; });
  return !stopping;
}

void StepFeed::State::deliver(MessageKind kind, const std::string& bytes) {
  StepBatch batch;
  std::string problem;
  if (kind == MessageKind::kBatch) {
    try {
      batch = deserialise_step_batch(std::as_bytes(std::span(bytes.data(), bytes.size())));
    } catch (const std::exception& error_here) {
      problem = error_here.what();
    }
  } else {
    problem = kind == MessageKind::kError ? bytes : "the data feed has ended";
  }
  const std::lock_guard lock(mutex);
  if (problem.empty())
    ready.push_back(std::move(batch));
  else if (error.empty())
    error = problem, error_is_everywhere = kind != MessageKind::kBatch;
  changed.notify_all();
}

void StepFeed::State::run() {
  try {
    for (;;) {
      MessageKind kind = MessageKind::kEnd;
      std::string bytes;
      if (communicator->rank() == 0) {
        bytes = produce(kind);
        if (!wait_for_room()) kind = MessageKind::kEnd, bytes.clear();
      }
      kind = static_cast<MessageKind>(broadcast_value(*communicator, static_cast<std::int64_t>(kind), 0));
      if (kind != MessageKind::kEnd) broadcast_bytes(*communicator, bytes, 0);
      // The other ranks go on receiving while they stop, so that rank 0's broadcasts always find their
      // partners.
      if (communicator->rank() != 0 && kind == MessageKind::kBatch && !wait_for_room()) continue;
      deliver(kind, bytes);
      if (kind != MessageKind::kBatch) return;
      ++next_step;
    }
  } catch (const std::exception& problem) {
    const std::lock_guard lock(mutex);
    if (error.empty()) error = problem.what();
    changed.notify_all();
  }
}

StepFeed::StepFeed(Setup setup) : state_(std::make_unique<State>()) {
  state_->communicator = std::move(setup.communicator);
  state_->source = std::move(setup.source);
  state_->activity = setup.activity;
  state_->next_step = setup.first_step;
  state_->last_step = setup.last_step;
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

StepFeed::~StepFeed() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
  }
  // As in next(): the thread may be waiting for rank 0's, which may be reading.
  const ScopedWait waiting(state_->communicator->rank() == 0 ? nullptr : state_->activity);
  state_->thread.join();
}

StepBatch StepFeed::next() {
  const auto begin = std::chrono::steady_clock::now();
  // Rank 0 reads for all: when its own batch is late, it is the one the others wait for.
  const ScopedWait waiting(state_->communicator->rank() == 0 ? nullptr : state_->activity);
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return !state_->ready.empty() || !state_->error.empty(); });
  if (state_->ready.empty() && state_->error_is_everywhere) throw AgreedError(state_->error);
  if (state_->ready.empty()) throw Error(state_->error);
  StepBatch batch = std::move(state_->ready.front());
  state_->ready.pop_front();
  state_->waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  state_->changed.notify_all();
  return batch;
}

double StepFeed::wait_seconds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->waited;
}

}  // namespace ranktune
