// A whole file: header and tensors.
#include <vector>

#include "base/hash.h"
#include "fuzz.h"
#include "storage/safetensors.h"

using namespace ranktune;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::may_refuse([&] {
    const SafetensorsFile file(std::as_bytes(std::span(data, size)), "some.safetensors");
    std::size_t total = 0;
    for (const TensorInfo& tensor : file.tensors()) {
      fuzz::demand(file.find(tensor.name) == &tensor, "a tensor is found by its name");
      fuzz::demand(
          static_cast<std::size_t>(tensor.elements()) * dtype_size(tensor.dtype) == tensor.data.size(),
          "a tensor has the bytes of its elements");
      total += tensor.data.size();
      hash_hex(tensor.data);  // reads every byte
      std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
      fuzz::may_refuse([&] { widen_to_f32(tensor.data, tensor.dtype, values); });
    }
    fuzz::demand(total <= size, "tensors lie apart inside the file");
    file.get("no such tensor");
  });
  return 0;
}
