#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "data/step_batch.h"

namespace ranktune {

/// The ledger of a run: run.dir/consumed.jsonl says for every step which rows of the data set were trained
/// on. Ranks add up what they really ran, so a line stands for work that was done, not for a plan.

/// What examples leave behind in a sum over ranks. 43 bits each: 2^20 examples of a step stay within 63.
struct RowTally {
  std::int64_t examples = 0;
  std::int64_t digest = 0;

  void add(const Slot& slot);
  bool operator==(const RowTally&) const = default;
};
RowTally tally_of(const StepBatch& batch);

/// A line of the ledger. `rows_of_set`: rows of the whole data set.
OrderedJson ledger_record(const StepBatch& batch, std::int64_t rows_of_set, bool skipped);

/// What the ledger says, and whether it is what it must be.
struct ConsumedReport {
  struct Epoch {
    std::int64_t rows = 0;  ///< that came in it, each exactly once
    bool whole = false;     ///< all there are
  };
  std::int64_t steps = 0, examples = 0, skipped = 0, rows_of_set = 0;
  std::vector<Epoch> epochs;
  /// A line each: a step that is missing or stands twice, a row that came twice in an epoch or not at all,
  /// rows other than those that the order of the seed gives. Empty: every row exactly once an epoch.
  std::vector<std::string> problems;
};

struct ConsumedCheck {
  std::uint64_t seed = 0;
  std::int64_t sequences_per_step = 0;
};

/// Goes through the ledger from the first step on and stops at the first step that does not fit. Throws where
/// the file cannot be read or is no ledger (names file and line).
ConsumedReport check_consumed(const Path& ledger, const ConsumedCheck& check);

}  // namespace ranktune
