#pragma once

#include "config/load_config.h"

namespace ranktune {

/// What only the whole can show: required keys that are missing (all of them in one message), keys that have
/// no effect beside others, values that exclude each other. Pure: opens no file.
void check_config(const LoadedConfig& config);

}  // namespace ranktune
