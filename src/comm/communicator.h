#pragma once

#include <memory>
#include <string_view>

#include "comm/buffer.h"

namespace ranktune {

/// Floating-point kMax and kMin are undefined where an element is NaN.
enum class ReduceOp { kSum, kMax, kMin };

std::string_view reduce_name(ReduceOp op) noexcept;

/// A group of ranks that move data together.
///
/// Collective: every rank of the group makes the same calls in the same order, with the same counts, types,
/// ops and roots. Calls return when this rank's buffers may be reused. They throw Error on a failed call,
/// when the time limit of the communicator has passed, and after abort(); then the communicator is of no
/// further use, the buffers of the failed call must stay alive until the process ends, and the job should be
/// ended (MpiSession::end_job).
///
/// Threads: one communicator belongs to one thread at a time. Another thread uses a communicator of its own,
/// made with duplicate() before that thread starts; calls on different communicators may run at once.
/// duplicate() and the destructor are collective too. Only abort() may be called from any thread at any time.
///
/// Counts are 64-bit and may pass 2^31. Integer sums are exact. Floating-point sums are the same bits on
/// every rank and in every run with the same rank count, but differ between rank counts.
class Communicator {
 public:
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  /// "mpi", "nccl" or "mpi, staged".
  virtual std::string_view backend() const noexcept = 0;
  /// Whether buffers of this device are accepted; others are refused with an Error.
  virtual bool takes(DeviceKind device) const noexcept = 0;

  virtual void broadcast(Buffer buffer, int root) = 0;
  virtual void all_reduce(Buffer in_place, ReduceOp op) = 0;
  /// `send` holds size() blocks of receive.count elements; this rank receives block rank(), reduced over the
  /// ranks.
  virtual void reduce_scatter(ConstBuffer send, Buffer receive, ReduceOp op) = 0;
  /// `receive` gets size() blocks of send.count elements, in rank order. `send` may be this rank's own block
  /// of it.
  virtual void all_gather(ConstBuffer send, Buffer receive) = 0;
  virtual void barrier() = 0;

  /// A communicator of the same group and kind with its own context, for another thread or purpose.
  virtual std::unique_ptr<Communicator> duplicate() = 0;
  /// Makes calls in progress and all later ones throw Error with this reason, on this rank, here and in all
  /// communicators that share this one's AbortSignal. The other ranks learn of it only by
  /// MpiSession::end_job.
  virtual void abort(std::string_view reason) noexcept = 0;

 protected:
  Communicator(int rank, int size) noexcept : rank_(rank), size_(size) {}

  /// The checks all backends share: counts, types, devices, null pointers, root. Errors name the call and the
  /// rank.
  void check(const char* call, const ConstBuffer& buffer) const;
  void check_root(const char* call, int root) const;
  /// `whole` is size() blocks of `part`.
  void check_blocks(const char* call, const ConstBuffer& part, const ConstBuffer& whole) const;

 private:
  int rank_;
  int size_;
};

}  // namespace ranktune
