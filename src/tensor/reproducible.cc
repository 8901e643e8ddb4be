#include "tensor/reproducible.h"

#include <ATen/Context.h>

namespace ranktune {

void make_gpu_reproducible() {
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);  // a debugging aid, at a pass over all memory
  // cuDNN's attention adds in any order, and plans anew for every length of an example.
  context.setSDPUseCuDNN(false);
}

}  // namespace ranktune
