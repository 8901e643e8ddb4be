#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "config/run_config.h"

namespace ranktune {

/// A configuration and where its values come from.
struct LoadedConfig {
  RunConfig values;
  /// Option name -> "file:line:column" or "--set name=value"; options that are not in it have their default.
  std::map<std::string, std::string, std::less<>> origins;
};

/// Reads the TOML file (if any), then applies `overrides` ("a.b=value", the later wins). Every key and value
/// is checked for itself: unknown keys, types, ranges, choices. Errors begin with file:line:column.
LoadedConfig read_config(const std::optional<Path>& file, std::span<const std::string> overrides = {});

/// The same for TOML text; `name` stands for the file in messages and origins.
LoadedConfig read_config_text(std::string_view text, std::string_view name,
                              std::span<const std::string> overrides = {});

/// read_config, then check_config (check_config.h).
LoadedConfig load_config(const std::optional<Path>& file, std::span<const std::string> overrides = {});

}  // namespace ranktune
