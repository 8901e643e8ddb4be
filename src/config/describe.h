#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "config/load_config.h"

namespace ranktune {

/// Every key with its value, where the value comes from, what it takes and what it means: TOML that
/// read_config takes back. Keys that are missing or have no effect in this configuration stand in it as
/// comments.
std::string describe(const LoadedConfig& config);

/// 32 hex digits over the keys that decide which weights come out. Neither the order and spelling in the file
/// (1e-4, 0.0001) nor keys such as run.dir or comm.timeout change it.
std::string config_hash(const RunConfig& config);

/// One key that two configurations disagree on; values as TOML.
struct ConfigChange {
  std::string name, before, after;
  bool affects_result;
};
std::vector<ConfigChange> diff_configs(const RunConfig& before, const RunConfig& after);

/// Throws when a run of configuration `saved` cannot be continued with `now`: names every changed key that
/// affects the result with its old and new value. `where` names the checkpoint.
void require_same_result(const RunConfig& saved, const RunConfig& now, std::string_view where);

/// {"lora.rank": 8, …}, all keys in the table's order; and back: absent keys have their default, an unknown
/// key is an error (a newer program wrote it).
OrderedJson to_json(const RunConfig& config);
RunConfig config_from_json(const Json& json, std::string_view where);

}  // namespace ranktune
