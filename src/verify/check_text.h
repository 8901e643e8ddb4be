#pragma once

#include <vector>

#include "base/file.h"
#include "verify/figure.h"

namespace ranktune {

/// A JSON-lines file NAME.jsonl of texts with their ids, or of conversations with text, ids and assistant
/// spans. The tokenizer (and template) is that of the first folder NAME below `places`.
void check_text_file(const Path& file, const std::vector<Path>& places, Findings& findings);

}  // namespace ranktune
