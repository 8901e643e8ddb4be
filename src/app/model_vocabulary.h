#pragma once

#include <cstdint>

#include "base/file.h"
#include "text/tokenizer.h"

namespace ranktune {

/// Throws where the tokenizer of that model folder has ids for which the embedding has no row, and names
/// them. `rows`: of the embedding. Returns how many of them have no token: models are padded to round sizes.
std::int64_t check_vocabulary(const Tokenizer& tokenizer, std::int64_t rows, const Path& model);

}  // namespace ranktune
