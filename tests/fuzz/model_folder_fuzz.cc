// A digit, then 0: config.json; 1: model.safetensors.index.json beside one shard.
#include "base/json.h"
#include "fuzz.h"
#include "model/hf_config.h"
#include "storage/safetensors_writer.h"
#include "storage/weight_files.h"

using namespace ranktune;

namespace {

void read_index(std::string_view text) {
  static const Path shard = fuzz::put("weights.safetensors", {"\x2\0\0\0\0\0\0\0{}", 10});
  fuzz::put("model.safetensors.index.json", text);
  const WeightFiles files = WeightFiles::open(fuzz::scratch().path());
  fuzz::demand(files.total_bytes() == 0, "the shard is empty");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const unsigned kind = input.choice();
  fuzz::may_refuse([&] {
    if (kind == 0) {
      const Architecture arch = parse_architecture(parse_json(input.rest(), "config.json"), "config.json");
      fuzz::demand(arch.layers > 0 && arch.heads > 0 && arch.kv_heads > 0 && arch.head_dim > 0 &&
                       arch.hidden_size > 0 && arch.intermediate_size > 0 && arch.vocab_size > 0 &&
                       arch.heads % arch.kv_heads == 0,
                   "all sizes are positive");
    } else {
      read_index(input.rest());
    }
  });
  return 0;
}
