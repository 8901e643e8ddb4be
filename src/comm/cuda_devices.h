#pragma once

#include <string>

namespace ranktune {

/// Whether this program was compiled with the GPU path (CUDA and NCCL).
bool built_with_cuda() noexcept;
/// "CUDA runtime 13.0, NCCL 2.28.3", the libraries that were loaded; "not compiled in" without them.
std::string gpu_libraries();

/// GPUs this process may use; 0 without a driver, without a GPU, and in a program built without CUDA. A
/// driver that fails counts as none, with a warning.
int visible_gpus();

/// Identity of a visible GPU, the same in every process of the machine: 32 hex digits. Throws without one.
std::string gpu_uuid(int device);
/// "NVIDIA H100 80GB HBM3".
std::string gpu_name(int device);

}  // namespace ranktune
