#include "app/version.h"

#include <fmt/core.h>
#include <torch/torch.h>

#include "comm/cuda_devices.h"

namespace ranktune {

std::string version_text() {
  return fmt::format("ranktune {}\nLibTorch {}\nGPU path (CUDA, NCCL): {}, {} GPUs visible", RANKTUNE_VERSION,
                     TORCH_VERSION, built_with_cuda() ? "compiled" : "not compiled", visible_gpus());
}

}  // namespace ranktune
