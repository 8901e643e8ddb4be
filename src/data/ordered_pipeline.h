#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace ranktune {

/// One thread makes jobs, several turn them into results, the calling thread takes the results in the order
/// of the jobs. At most `in_flight` jobs exist at a time, so memory is bounded whatever the speeds are. An
/// exception of any part is thrown by run() at its job's place in the order, after all threads have ended.
template <typename Job, typename Result>
class OrderedPipeline {
 public:
  using Produce = std::function<std::optional<Job>()>;  ///< nothing: the end
  using Work = std::function<Result(Job)>;
  using MakeWork = std::function<Work()>;  ///< called once in each working thread
  using Consume = std::function<void(Result)>;

  OrderedPipeline(std::size_t threads, std::size_t in_flight) : threads_(threads), in_flight_(in_flight) {}
  OrderedPipeline(const OrderedPipeline&) = delete;
  OrderedPipeline& operator=(const OrderedPipeline&) = delete;

  void run(const Produce& produce, const MakeWork& make_work, const Consume& consume) {
    std::vector<std::jthread> threads;
    // Declared after the threads, so that it runs first: waiting threads see the stop and can be joined.
    const StopAtExit stop(*this);
    threads.emplace_back([&] { produce_all(produce); });
    for (std::size_t i = 0; i < threads_; ++i) threads.emplace_back([&] { work_all(make_work); });
    while (auto outcome = take()) {
      if (const auto* error = std::get_if<std::exception_ptr>(&outcome.mapped()))
        std::rethrow_exception(*error);
      consume(std::move(std::get<Result>(outcome.mapped())));
    }
  }

 private:
  using Outcome = std::variant<Result, std::exception_ptr>;
  struct StopAtExit {
    explicit StopAtExit(OrderedPipeline& owner) : pipeline(owner) {}
    StopAtExit(const StopAtExit&) = delete;
    StopAtExit& operator=(const StopAtExit&) = delete;
    ~StopAtExit() {
      const std::lock_guard lock(pipeline.mutex_);
      pipeline.stopped_ = true;
      pipeline.changed_.notify_all();
    }
    OrderedPipeline& pipeline;
  };

  void put(std::size_t index, Outcome outcome) {
    const std::lock_guard lock(mutex_);
    outcomes_.emplace(index, std::move(outcome));
    changed_.notify_all();
  }

  void produce_all(const Produce& produce) {
    std::size_t index = 0;
    try {
      for (;; ++index) {
        {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [&] { return stopped_ || index - taken_ < in_flight_; });
          if (stopped_) return;
        }
        std::optional<Job> job = produce();
        const std::lock_guard lock(mutex_);
        if (!job) break;
        jobs_.emplace_back(index, std::move(*job));
        changed_.notify_all();
      }
    } catch (...) {
      put(index++, Outcome(std::current_exception()));
    }
    const std::lock_guard lock(mutex_);
    total_ = index;
    changed_.notify_all();
  }

  void work_all(const MakeWork& make_work) {
    Work work;
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopped_ || !jobs_.empty() || total_; });
      if (stopped_ || jobs_.empty()) return;
      auto [index, job] = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      try {
        if (!work) work = make_work();
        put(index, Outcome(work(std::move(job))));
      } catch (...) {
        put(index, Outcome(std::current_exception()));
      }
    }
  }

  /// The next outcome in order; an empty handle when all have been taken.
  typename std::map<std::size_t, Outcome>::node_type take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return outcomes_.contains(taken_) || total_ == taken_; });
    auto outcome = outcomes_.extract(taken_);
    if (outcome) ++taken_;
    changed_.notify_all();
    return outcome;
  }

  std::size_t threads_, in_flight_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<std::size_t, Job>> jobs_;
  std::map<std::size_t, Outcome> outcomes_;
  std::size_t taken_ = 0;
  std::optional<std::size_t> total_;
  bool stopped_ = false;
};

}  // namespace ranktune
