// A whole file: metadata, tensors, the model and the tokenizer they describe.
#include <vector>

#include "base/json.h"
#include "fuzz.h"
#include "storage/gguf.h"
#include "storage/gguf_model.h"
#include "storage/gguf_places.h"
#include "storage/gguf_tokenizer.h"

using namespace ranktune;

namespace {

void read_tensors(const GgufFile& file) {
  for (const GgufTensor& tensor : file.tensors()) {
    fuzz::demand(file.find_tensor(tensor.name) == &tensor, "a tensor is found by its name");
    std::vector<float> values(static_cast<std::size_t>(tensor.rows() * tensor.row_elements()));
    dequantize(tensor.type, tensor.data, values);
  }
}

void read_values(const GgufFile& file) {
  for (const auto& [key, value] : file.values()) {
    fuzz::may_refuse([&, name = key] { file.get_int(name); });
    fuzz::may_refuse([&, name = key] { file.get_number(name); });
    fuzz::may_refuse([&, name = key] { file.get_bool(name); });
    fuzz::may_refuse([&, name = key] { file.get_string(name); });
    fuzz::may_refuse([&, name = key] { file.get_strings(name); });
    fuzz::may_refuse([&, name = key] { file.get_ints(name); });
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::may_refuse([&] {
    const GgufFile file(FileBytes{std::as_bytes(std::span(data, size)), nullptr}, "some.gguf");
    read_tensors(file);
    read_values(file);
    fuzz::may_refuse([&] {
      const GgufModel model = read_gguf_model(file);
      gguf_config(model).dump();
      map_gguf_tensors(file, model);
    });
    fuzz::may_refuse([&] {
      const GgufTokenizer tokenizer = read_gguf_tokenizer(file);
      tokenizer.config.dump();
      parse_json(tokenizer.tokenizer_json, "tokenizer.json");
    });
  });
  return 0;
}
