#pragma once

#include <string>

#include "base/file.h"
#include "base/json.h"
#include "model/lora_options.h"

namespace ranktune {

/// adapter_config.json as PEFT writes and reads it, for options whose targets are resolved.
OrderedJson adapter_config(const LoraOptions& options, const std::string& base_model);

/// Reads PEFT's adapter_config.json. A kind, switch or key that changes what is computed and is not computed
/// here is an Error naming it.
LoraOptions read_adapter_config(const Path& adapter_folder);

}  // namespace ranktune
