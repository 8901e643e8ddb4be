#pragma once

#include <cstdint>
#include <functional>

#include "data/data_options.h"
#include "data/prep_summary.h"

namespace ranktune {

struct PrepProgress {
  std::int64_t bytes_read = 0;   ///< of the inputs
  std::int64_t bytes_total = 0;  ///< of the inputs
  std::int64_t rows_in = 0;
  std::int64_t tokens = 0;  ///< written so far
};
/// Called from the thread that called prepare(), about ten times a second at most.
using PrepProgressCallback = std::function<void(const PrepProgress&)>;

/// Inputs -> rows -> conversations -> tokens and labels -> shards. One thread reads, `threads` parse and
/// tokenise, the calling one writes in the order of the input, so the output depends neither on timing nor on
/// the number of threads; queues are bounded. The output appears only when whole. Throws on unusable options,
/// on the first bad row unless they are to be skipped, and when nothing is left to train on.
PrepSummary prepare(const PrepOptions& options, const PrepProgressCallback& progress = {});

}  // namespace ranktune
