// What a program built without CUDA answers where it is asked for a GPU.

#include "base/error.h"
#include "comm/cuda_devices.h"
#include "comm/nccl_communicator.h"

namespace ranktune {
namespace {

[[noreturn]] void refuse() {
  fail(
      "this program was built without CUDA: build it where the CUDA toolkit and NCCL are, or set device = "
      "\"cpu\"");
}

}  // namespace

bool built_with_cuda() noexcept { return false; }
std::string gpu_libraries() { return "not compiled in"; }
int visible_gpus() { return 0; }
std::string gpu_uuid(int) { refuse(); }
std::string gpu_name(int) { refuse(); }

std::unique_ptr<Communicator> make_nccl_communicator(Communicator&, const NcclCommunicatorOptions&) {
  refuse();
}
std::unique_ptr<Communicator> make_staged_communicator(Communicator&, const NcclCommunicatorOptions&) {
  refuse();
}

}  // namespace ranktune
