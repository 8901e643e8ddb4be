#pragma once

namespace ranktune {

/// Makes LibTorch compute the same bits again on the same GPU: only kernels that add in a fixed order, else
/// an error that names the operation. Before the first computation on a GPU. cuBLAS takes part where
/// CUBLAS_WORKSPACE_CONFIG is set before it starts (set_library_defaults()).
void make_gpu_reproducible();

}  // namespace ranktune
