#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace ranktune {

/// Why a row was left out. Names are persistent: they stand in the data file's counts.
enum class RowProblem {
  kNone,
  kNonUtf8,         ///< bytes that are not UTF-8
  kBrokenJson,      ///< not JSON
  kWrongKeys,       ///< JSON, but not a row of a known format
  kRoleOrder,       ///< unknown role, turns out of order, or no answer at the end
  kEmptyOutput,     ///< an answer without text
  kNoPrompt,        ///< an answer to nothing
  kUnfilledMarker,  ///< {{name}} or {{author}} with nothing to put there
  kNoTarget,        ///< the template marks nothing of it for training
  kDuplicate,       ///< the messages of an earlier row
  kOverLong,        ///< more than max_length tokens, and the policy leaves it out
};
std::string_view name_of(RowProblem problem);

struct LengthHistogram {
  std::array<std::int64_t, 32> buckets{};  ///< [i]: rows of 2^i .. 2^(i+1)-1 tokens
  void add(std::int64_t tokens);
};

/// Figures of one output file or set.
struct PrepOutput {
  std::vector<Path> files;
  std::int64_t rows = 0, tokens = 0, supervised_tokens = 0, longest = 0;
  LengthHistogram lengths;
};

/// What prepare() did. rows_in = train.rows + validation.rows + skipped - rows gained by splitting.
struct PrepSummary {
  struct Problem {
    std::int64_t rows = 0;
    std::vector<std::string> examples;  ///< the first few, "file:line: what is wrong"
  };
  std::int64_t rows_in = 0;
  PrepOutput train, validation;
  std::map<std::string, Problem> skipped;  ///< by name_of(RowProblem)
  std::map<std::string, Problem> changed;  ///< rows kept but shortened or taken apart, by what was done
  std::map<std::string, Problem> warned;   ///< rows kept as they are that deserve a look
  std::int64_t lost_exchanges = 0;  ///< of changed rows: pairs of prompt and answer that fitted nowhere
  std::int64_t rows_without_end_token = 0;  ///< rows whose last answer's end token is not a training target

  std::int64_t rows_skipped() const;
  /// The figures without paths, as the data file keeps them.
  std::string counts_json() const;
  /// A few lines for people.
  std::string text() const;
};

}  // namespace ranktune
