#include "comm/nccl_communicator.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <climits>
#include <string>
#include <utility>

#include "base/error.h"
#include "comm/collectives.h"
#include "comm/gpu_queue.h"
#include "comm/wait_loop.h"

namespace ranktune {
namespace {

/// Seconds for the orderly end of a communicator before it is aborted: its ranks end it at about the same
/// time.
constexpr double kCloseTimeout = 10;

ncclDataType_t nccl_type(ElementType type) {
  switch (type) {
    case ElementType::kByte:
      return ncclUint8;
    case ElementType::kInt32:
      return ncclInt32;
    case ElementType::kInt64:
      return ncclInt64;
    case ElementType::kFloat32:
      return ncclFloat32;
    case ElementType::kFloat64:
      return ncclFloat64;
    case ElementType::kBFloat16:
      return ncclBfloat16;
  }
  return ncclNumTypes;
}

ncclRedOp_t nccl_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return ncclSum;
    case ReduceOp::kMax:
      return ncclMax;
    case ReduceOp::kMin:
      return ncclMin;
  }
  return ncclNumOps;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> control, NcclCommunicatorOptions options);
  ~NcclCommunicator() override;

  std::string_view backend() const noexcept override { return "nccl"; }
  bool takes(DeviceKind device) const noexcept override { return device == DeviceKind::kCuda; }
  void broadcast(Buffer buffer, int root) override;
  void all_reduce(Buffer in_place, ReduceOp op) override;
  void reduce_scatter(ConstBuffer send, Buffer receive, ReduceOp op) override;
  void all_gather(ConstBuffer send, Buffer receive) override;
  void barrier() override;
  std::unique_ptr<Communicator> duplicate() override;
  void abort(std::string_view reason) noexcept override { options_.abort_signal->raise(reason); }

 private:
  void connect();
  /// Queues a collective with `enqueue()` and waits until the GPU has done it.
  template <typename Enqueue>
  void run(const char* call, Enqueue&& enqueue);
  /// A non-blocking communicator answers "in progress": asks until it has an answer.
  void settle(ncclResult_t result, const char* call, WaitLoop& loop);
  void check_async(const char* call);
  void nccl_check(ncclResult_t result, const char* call) const;
  /// Ends what may still be running on the GPU; the communicator is gone afterwards.
  void drop() noexcept;
  void close_in_order();

  std::unique_ptr<Communicator> control_;
  NcclCommunicatorOptions options_;
  GpuQueue queue_;
  ncclComm_t comm_ = nullptr;
  void* token_ = nullptr;  ///< four bytes of GPU memory for barrier()
};

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> control, NcclCommunicatorOptions options)
    : Communicator(control->rank(), control->size()),
      control_(std::move(control)),
      options_(std::move(options)),
      queue_(options_.device, options_.producer) {
  try {
    connect();
  } catch (...) {
    drop();
    static_cast<void>(cudaFree(token_));
    throw;
  }
}

void NcclCommunicator::connect() {
  constexpr const char* kCall = "ncclCommInitRankConfig";
  ncclUniqueId id{};
  together(*control_, [&] {
    cuda_check(cudaMalloc(&token_, sizeof(std::int32_t)), "cudaMalloc");
    cuda_check(cudaMemset(token_, 0, sizeof(std::int32_t)), "cudaMemset");
    if (rank() == 0) nccl_check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  });
  control_->broadcast(buffer_of(std::span<char>(id.internal, NCCL_UNIQUE_ID_BYTES)), 0);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ScopedWait mark(options_.activity);
  WaitLoop loop(kCall, rank(), *options_.abort_signal, {.timeout = options_.timeout});
  settle(ncclCommInitRankConfig(&comm_, size(), id, rank(), &config), kCall, loop);
}

NcclCommunicator::~NcclCommunicator() {
  static_cast<void>(cudaSetDevice(queue_.device()));
  try {
    if (comm_ != nullptr && !options_.abort_signal->raised()) close_in_order();
  } catch (...) {
    // Another rank has not come: what is left is aborted below.
  }
  drop();
  static_cast<void>(cudaFree(token_));
}

void NcclCommunicator::close_in_order() {
  constexpr const char* kCall = "ncclCommFinalize";
  // Of its own, since a late peer here is no reason to give up the whole process.
  AbortSignal signal;
  WaitLoop loop(kCall, rank(), signal, {.timeout = kCloseTimeout});
  settle(ncclCommFinalize(comm_), kCall, loop);
  nccl_check(ncclCommDestroy(std::exchange(comm_, nullptr)), "ncclCommDestroy");
}

void NcclCommunicator::drop() noexcept {
  if (comm_ != nullptr) static_cast<void>(ncclCommAbort(std::exchange(comm_, nullptr)));
}

void NcclCommunicator::nccl_check(ncclResult_t result, const char* call) const {
  if (result == ncclSuccess) return;
  const char* detail = ncclGetLastError(comm_);
  fail("{} failed on rank {}: {}{}{} (NCCL_DEBUG=INFO tells more)", call, rank(), ncclGetErrorString(result),
       detail == nullptr || *detail == '\0' ? "" : ": ", detail == nullptr ? "" : detail);
}

void NcclCommunicator::settle(ncclResult_t result, const char* call, WaitLoop& loop) {
  while (result == ncclInProgress) {
    loop.pause();
    nccl_check(ncclCommGetAsyncError(comm_, &result), "ncclCommGetAsyncError");
  }
  nccl_check(result, call);
}

void NcclCommunicator::check_async(const char* call) {
  ncclResult_t state = ncclSuccess;
  nccl_check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
  if (state != ncclInProgress) nccl_check(state, call);
}

template <typename Enqueue>
void NcclCommunicator::run(const char* call, Enqueue&& enqueue) {
  options_.abort_signal->check(call);
  require(comm_ != nullptr, "{} on rank {}: this NCCL communicator was aborted after an error", call, rank());
  try {
    queue_.follow_producer();
    // This rank's own GPU work comes first: as long as it lasts, others wait for this rank, not it for them.
    WaitLoop own_work(call, rank(), *options_.abort_signal, {});
    while (!queue_.produced()) own_work.pause();
    const ScopedWait mark(options_.activity);
    WaitLoop loop(call, rank(), *options_.abort_signal, {.timeout = options_.timeout});
    // Until the call has settled the work need not be in the stream yet.
    settle(enqueue(), call, loop);
    queue_.mark_end();
    while (!queue_.finished()) {
      check_async(call);
      loop.pause();
    }
    check_async(call);
  } catch (const std::exception& error) {
    options_.abort_signal->raise(error.what());
    drop();
    throw;
  }
}

void NcclCommunicator::broadcast(Buffer buffer, int root) {
  check("broadcast", buffer);
  check_root("broadcast", root);
  if (buffer.count == 0) return;
  run("ncclBroadcast", [&] {
    return ncclBroadcast(buffer.data, buffer.data, static_cast<std::size_t>(buffer.count),
                         nccl_type(buffer.type), root, comm_, queue_.stream());
  });
}

void NcclCommunicator::all_reduce(Buffer in_place, ReduceOp op) {
  check("all_reduce", in_place);
  if (in_place.count == 0) return;
  run("ncclAllReduce", [&] {
    return ncclAllReduce(in_place.data, in_place.data, static_cast<std::size_t>(in_place.count),
                         nccl_type(in_place.type), nccl_op(op), comm_, queue_.stream());
  });
}

void NcclCommunicator::reduce_scatter(ConstBuffer send, Buffer receive, ReduceOp op) {
  check_blocks("reduce_scatter", receive, send);
  if (receive.count == 0) return;
  run("ncclReduceScatter", [&] {
    return ncclReduceScatter(send.data, receive.data, static_cast<std::size_t>(receive.count),
                             nccl_type(send.type), nccl_op(op), comm_, queue_.stream());
  });
}

void NcclCommunicator::all_gather(ConstBuffer send, Buffer receive) {
  check_blocks("all_gather", send, receive);
  if (send.count == 0) return;
  run("ncclAllGather", [&] {
    return ncclAllGather(send.data, receive.data, static_cast<std::size_t>(send.count), nccl_type(send.type),
                         comm_, queue_.stream());
  });
}

void NcclCommunicator::barrier() {
  all_reduce({token_, 1, ElementType::kInt32, DeviceKind::kCuda}, ReduceOp::kMax);
}

std::unique_ptr<Communicator> NcclCommunicator::duplicate() {
  return std::make_unique<NcclCommunicator>(control_->duplicate(), options_);
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& control,
                                                     const NcclCommunicatorOptions& options) {
  require(options.abort_signal != nullptr, "an NCCL communicator needs an abort signal");
  return std::make_unique<NcclCommunicator>(control.duplicate(), options);
}

}  // namespace ranktune
