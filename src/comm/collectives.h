#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"

namespace ranktune {

// Collective calls on C++ values in host memory; all of them need a communicator that takes DeviceKind::kCpu.

template <typename T>
void broadcast(Communicator& communicator, std::span<T> values, int root) {
  communicator.broadcast(buffer_of(values), root);
}

template <typename T>
T broadcast_value(Communicator& communicator, T value, int root) {
  communicator.broadcast(buffer_of(std::span<T>(&value, 1)), root);
  return value;
}

/// The vector of `root`, size included.
template <typename T>
void broadcast_vector(Communicator& communicator, std::vector<T>& values, int root) {
  values.resize(static_cast<std::size_t>(
      broadcast_value(communicator, static_cast<std::int64_t>(values.size()), root)));
  communicator.broadcast(buffer_of(std::span<T>(values)), root);
}

/// The string of `root`, size included; may hold any bytes.
void broadcast_bytes(Communicator& communicator, std::string& bytes, int root);

template <typename T>
void all_reduce(Communicator& communicator, std::span<T> values, ReduceOp op) {
  communicator.all_reduce(buffer_of(values), op);
}

template <typename T>
T all_reduce_value(Communicator& communicator, T value, ReduceOp op) {
  communicator.all_reduce(buffer_of(std::span<T>(&value, 1)), op);
  return value;
}

/// One value of every rank, in rank order.
template <typename T>
std::vector<T> all_gather_value(Communicator& communicator, T value) {
  std::vector<T> values(static_cast<std::size_t>(communicator.size()));
  communicator.all_gather(const_buffer_of(std::span<const T>(&value, 1)), buffer_of(std::span<T>(values)));
  return values;
}

/// One string of every rank, in rank order; lengths may differ.
std::vector<std::string> all_gather_strings(Communicator& communicator, std::string_view text);

/// An error that all ranks throw together, with the same text: enough that one of them prints it.
class AgreedError : public Error {
  using Error::Error;
};

/// Runs `action` on every rank and lets all of them succeed or fail together: when it threw on some rank,
/// every rank throws AgreedError with the message and kind of the lowest such rank. For work that one rank
/// may fail at alone (opening a file, a full disk) before the next collective call. `action` must not make
/// collective calls itself.
void together(Communicator& communicator, const std::function<void()>& action);

}  // namespace ranktune
