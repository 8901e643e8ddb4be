// adapter_config.json, and the modules that it chooses.
#include "fuzz.h"
#include "model/adapter_config.h"
#include "model/module_match.h"

using namespace ranktune;

namespace {

void choose_modules(const LoraOptions& options) {
  for (const char* module : {"model.layers.0.self_attn.q_proj", "transformer.h.11.mlp.c_proj", "lm_head", ""})
    fuzz::may_refuse([&] {
      is_target(options, module);
      rank_of(options, module);
      alpha_of(options, module);
    });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::put("adapter_config.json", fuzz::Input(data, size).rest());
  fuzz::may_refuse([&] {
    const LoraOptions options = read_adapter_config(fuzz::scratch().path());
    choose_modules(options);
    const std::string written = adapter_config(options, "base").dump(2);
    fuzz::put("adapter_config.json", written);
    LoraOptions again;
    fuzz::demand(fuzz::may_refuse([&] { again = read_adapter_config(fuzz::scratch().path()); }),
                 "an adapter's configuration can be read again");
    fuzz::demand(adapter_config(again, "base").dump(2) == written, "it is read as it was written");
  });
  return 0;
}
