#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/gpu_queue.h"
#include "comm/nccl_communicator.h"
#include "comm/wait_loop.h"

namespace ranktune {
namespace {

/// GPU buffers go to host memory, through the host communicator, and back.
class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> host, NcclCommunicatorOptions options)
      : Communicator(host->rank(), host->size()),
        host_(std::move(host)),
        options_(std::move(options)),
        queue_(options_.device, options_.producer) {}

  std::string_view backend() const noexcept override { return "mpi, staged"; }
  bool takes(DeviceKind device) const noexcept override { return device == DeviceKind::kCuda; }

  void broadcast(Buffer buffer, int root) override {
    check("broadcast", buffer);
    check_root("broadcast", root);
    Buffer staged = fetch(buffer, rank() == root);
    host_->broadcast(staged, root);
    store(staged, buffer);
  }

  void all_reduce(Buffer in_place, ReduceOp op) override {
    check("all_reduce", in_place);
    Buffer staged = fetch(in_place, true);
    host_->all_reduce(staged, op);
    store(staged, in_place);
  }

  void reduce_scatter(ConstBuffer send, Buffer receive, ReduceOp op) override {
    check_blocks("reduce_scatter", receive, send);
    const Buffer staged = fetch(send, true);
    const Buffer result = result_for(receive);
    host_->reduce_scatter(staged, result, op);
    store(result, receive);
  }

  void all_gather(ConstBuffer send, Buffer receive) override {
    check_blocks("all_gather", send, receive);
    const Buffer staged = fetch(send, true);
    const Buffer result = result_for(receive);
    host_->all_gather(staged, result);
    store(result, receive);
  }

  void barrier() override {
    // As with NCCL, the producer's work so far is done once the barrier is.
    queue_.follow_producer();
    finish("barrier");
    host_->barrier();
  }

  std::unique_ptr<Communicator> duplicate() override {
    return std::make_unique<StagedCommunicator>(host_->duplicate(), options_);
  }
  void abort(std::string_view reason) noexcept override { host_->abort(reason); }

 private:
  static std::size_t bytes_of(const ConstBuffer& buffer) {
    return static_cast<std::size_t>(buffer.count) * element_size(buffer.type);
  }

  /// A host buffer like `buffer`, filled from it if `filled`.
  Buffer fetch(const ConstBuffer& buffer, bool filled) {
    send_.resize(bytes_of(buffer));
    queue_.follow_producer();
    if (filled) queue_.copy_to_host(send_.data(), buffer.data, send_.size());
    finish("copying to the host");
    return {send_.data(), buffer.count, buffer.type, DeviceKind::kCpu};
  }

  Buffer result_for(const Buffer& receive) {
    receive_.resize(bytes_of(receive));
    return {receive_.data(), receive.count, receive.type, DeviceKind::kCpu};
  }

  void store(const Buffer& from, const Buffer& to) {
    queue_.copy_to_gpu(to.data, from.data, bytes_of(from));
    finish("copying to the GPU");
  }

  void finish(const char* what) {
    queue_.mark_end();
    // The rank's own GPU: nobody else is waited for, so neither time limit nor mark.
    WaitLoop loop(what, rank(), *options_.abort_signal, {});
    while (!queue_.finished()) loop.pause();
  }

  std::unique_ptr<Communicator> host_;
  NcclCommunicatorOptions options_;
  GpuQueue queue_;
  std::vector<std::byte> send_, receive_;
};

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(Communicator& control,
                                                       const NcclCommunicatorOptions& options) {
  require(options.abort_signal != nullptr, "a staged communicator needs an abort signal");
  return std::make_unique<StagedCommunicator>(control.duplicate(), options);
}

}  // namespace ranktune
