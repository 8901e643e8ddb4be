#include "comm/cuda_devices.h"

#include <cuda_runtime.h>
#include <fmt/format.h>
#include <nccl.h>

#include "base/error.h"
#include "base/log.h"
#include "comm/gpu_queue.h"

namespace ranktune {
namespace {

cudaDeviceProp properties(int device) {
  cudaDeviceProp found{};
  cuda_check(cudaGetDeviceProperties(&found, device), "cudaGetDeviceProperties");
  return found;
}

}  // namespace

bool built_with_cuda() noexcept { return true; }

std::string gpu_libraries() {
  int cuda = 0, nccl = 0;
  cuda_check(cudaRuntimeGetVersion(&cuda), "cudaRuntimeGetVersion");
  require(ncclGetVersion(&nccl) == ncclSuccess, "NCCL does not tell its version");
  return fmt::format("CUDA runtime {}.{}, NCCL {}.{}.{}", cuda / 1000, cuda % 1000 / 10, nccl / 10000,
                     nccl % 10000 / 100, nccl % 100);
}

int visible_gpus() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess) return count;
  static_cast<void>(cudaGetLastError());
  // A machine without a GPU or driver is an ordinary one; a driver that fails is worth a word.
  if (code != cudaErrorNoDevice && code != cudaErrorInsufficientDriver) {
    log_warning("GPUs cannot be used: {} ({})", cudaGetErrorString(code), cudaGetErrorName(code));
  }
  return 0;
}

std::string gpu_uuid(int device) {
  std::string text;
  for (const char byte : properties(device).uuid.bytes)
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::string gpu_name(int device) { return properties(device).name; }

}  // namespace ranktune
