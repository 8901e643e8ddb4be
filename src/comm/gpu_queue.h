#pragma once

#include <cstddef>

struct CUstream_st;
struct CUevent_st;

namespace ranktune {

/// Throws Error with the call's name and CUDA's text for `code` unless it is cudaSuccess; clears CUDA's
/// sticky error.
void cuda_check(int code, const char* call);

/// A stream of its own on one GPU, for work that must follow what another stream has been given so far.
/// Programs built without CUDA do not have it. One thread at a time; every function makes the GPU the
/// thread's current one.
class GpuQueue {
 public:
  GpuQueue(int device, CUstream_st* producer);
  GpuQueue(const GpuQueue&) = delete;
  GpuQueue& operator=(const GpuQueue&) = delete;
  ~GpuQueue();

  CUstream_st* stream() const noexcept { return stream_; }
  int device() const noexcept { return device_; }
  CUstream_st* producer() const noexcept { return producer_; }
  /// Later work of this queue starts after the producer's work so far.
  void follow_producer();
  /// Whether the GPU has done the producer's work up to the last follow_producer().
  bool produced();
  /// Marks the end of the work so far; finished() then tells whether the GPU has reached it.
  void mark_end();
  bool finished();
  void copy_to_host(void* to, const void* from, std::size_t bytes);
  void copy_to_gpu(void* to, const void* from, std::size_t bytes);

 private:
  void select_device() const;
  static bool reached(CUevent_st* event);

  int device_;
  CUstream_st* producer_;
  CUstream_st* stream_ = nullptr;
  CUevent_st* produced_ = nullptr;
  CUevent_st* end_ = nullptr;
};

}  // namespace ranktune
