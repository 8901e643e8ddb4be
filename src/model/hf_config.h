#pragma once

#include "base/file.h"
#include "base/json.h"
#include "model/architecture.h"

namespace ranktune {

/// MODEL_FOLDER/config.json as an Architecture. A family, rope type or switch that the decoder does not
/// compute is an Error that names the key, its value and what is supported; nothing that changes the
/// mathematics is ignored.
Architecture read_architecture(const Path& model_folder);
Architecture parse_architecture(const Json& config, const std::string& where);

}  // namespace ranktune
