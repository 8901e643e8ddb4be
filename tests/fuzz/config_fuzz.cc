// A digit, then 0: a configuration file; 1: an argument of --set; 2: a checkpoint's configuration (JSON).
#include <array>

#include "config/check_config.h"
#include "config/describe.h"
#include "config/load_config.h"
#include "fuzz.h"

using namespace ranktune;

namespace {

void use(const LoadedConfig& config) {
  const std::string printed = describe(config);
  fuzz::demand(fuzz::may_refuse([&] { read_config_text(printed, "printed.toml"); }),
               "what is printed can be read");
  const OrderedJson json = to_json(config.values);
  const RunConfig again = config_from_json(Json::parse(json.dump()), "checkpoint");
  fuzz::demand(to_json(again) == json, "a checkpoint's configuration is read as it was written");
  check_config(config);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const unsigned kind = input.choice();
  fuzz::may_refuse([&] {
    if (kind == 0) {
      use(read_config_text(input.rest(), "some.toml"));
    } else if (kind == 1) {
      use(read_config({}, std::array{std::string(input.rest())}));
    } else {
      config_from_json(parse_json(input.rest(), "trainer.json"), "trainer.json");
    }
  });
  return 0;
}
