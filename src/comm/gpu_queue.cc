#include "comm/gpu_queue.h"

#include <cuda_runtime.h>

#include "base/error.h"

namespace ranktune {

void cuda_check(int code, const char* call) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  const auto error = static_cast<cudaError_t>(code);
  fail("{} failed: {} ({})", call, cudaGetErrorString(error), cudaGetErrorName(error));
}

GpuQueue::GpuQueue(int device, CUstream_st* producer) : device_(device), producer_(producer) {
  select_device();
  int least = 0, greatest = 0;
  cuda_check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  cuda_check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest),
             "cudaStreamCreateWithPriority");
  cuda_check(cudaEventCreateWithFlags(&produced_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  cuda_check(cudaEventCreateWithFlags(&end_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

GpuQueue::~GpuQueue() {
  // CUDA frees these once the GPU has passed them. Errors at the end have nobody to tell.
  static_cast<void>(cudaSetDevice(device_));
  static_cast<void>(cudaEventDestroy(produced_));
  static_cast<void>(cudaEventDestroy(end_));
  static_cast<void>(cudaStreamDestroy(stream_));
}

void GpuQueue::select_device() const { cuda_check(cudaSetDevice(device_), "cudaSetDevice"); }

void GpuQueue::follow_producer() {
  select_device();
  cuda_check(cudaEventRecord(produced_, producer_), "cudaEventRecord");
  cuda_check(cudaStreamWaitEvent(stream_, produced_, 0), "cudaStreamWaitEvent");
}

void GpuQueue::mark_end() {
  select_device();
  cuda_check(cudaEventRecord(end_, stream_), "cudaEventRecord");
}

bool GpuQueue::reached(CUevent_st* event) {
  const cudaError_t state = cudaEventQuery(event);
  if (state == cudaErrorNotReady) {
    // Not an error, but left behind as one for the next caller that asks.
    static_cast<void>(cudaGetLastError());
    return false;
  }
  cuda_check(state, "cudaEventQuery");
  return true;
}

bool GpuQueue::produced() { return reached(produced_); }

bool GpuQueue::finished() { return reached(end_); }

void GpuQueue::copy_to_host(void* to, const void* from, std::size_t bytes) {
  select_device();
  cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_),
             "cudaMemcpyAsync to the host");
}

void GpuQueue::copy_to_gpu(void* to, const void* from, std::size_t bytes) {
  select_device();
  cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync to the GPU");
}

}  // namespace ranktune
