#pragma once

#include <cstring>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "comm/communicator.h"

namespace ranktune {

/// A group of one rank without MPI: what every collective means for it is a copy of host memory.
class LoneCommunicator final : public Communicator {
 public:
  LoneCommunicator() : Communicator(0, 1) {}

  std::string_view backend() const noexcept override { return "lone"; }
  bool takes(DeviceKind device) const noexcept override { return device == DeviceKind::kCpu; }
  void broadcast(Buffer buffer, int root) override {
    check("broadcast", buffer);
    check_root("broadcast", root);
  }
  void all_reduce(Buffer in_place, ReduceOp) override { check("all_reduce", in_place); }
  void reduce_scatter(ConstBuffer send, Buffer receive, ReduceOp) override { copy(send, receive); }
  void all_gather(ConstBuffer send, Buffer receive) override { copy(send, receive); }
  void barrier() override {}
  std::unique_ptr<Communicator> duplicate() override { return std::make_unique<LoneCommunicator>(); }
  void abort(std::string_view) noexcept override {}

 private:
  void copy(ConstBuffer from, Buffer to) {
    check_blocks("copy", from, to);
    if (from.data != to.data && from.count > 0)
      std::memmove(to.data, from.data, static_cast<std::size_t>(from.count) * element_size(from.type));
  }
};

}  // namespace ranktune
