#include "data/consumed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/random.h"
#include "data/sample_order.h"

namespace ranktune {
namespace {

constexpr int kDroppedBits = 21;
constexpr std::uint64_t kLargestLedger = std::uint64_t{1} << 40;
constexpr std::size_t kNamed = 5;

struct LedgerLine {
  std::int64_t step = 0, rows_of_set = 0;
  bool skipped = false;
  std::multiset<std::int64_t> rows{};
};

LedgerLine parse_line(std::string_view text, const std::string& where) {
  const Json json = parse_json(text, where);
  LedgerLine line{.step = json_get<std::int64_t>(json, "step", where),
                  .rows_of_set = json_get<std::int64_t>(json, "of", where),
                  .skipped = json_get_or<bool>(json, "skipped", false, where)};
  require(line.rows_of_set >= 1, "{}: a data set of {} rows", where, line.rows_of_set);
  for (const std::int64_t row : json_get<std::vector<std::int64_t>>(json, "rows", where)) {
    require(row >= 0 && row < line.rows_of_set, "{}: row {} is not one of {}", where, row, line.rows_of_set);
    line.rows.insert(row);
  }
  return line;
}

/// "row 7", "rows 7, 9, 12 and 4 more".
template <typename Rows>
std::string named(const Rows& rows) {
  std::vector<std::int64_t> first;
  for (const std::int64_t row : rows)
    if (first.size() < kNamed) first.push_back(row);
  const std::size_t more = rows.size() - first.size();
  return fmt::format("{} {}{}", rows.size() == 1 ? "row" : "rows", fmt::join(first, ", "),
                     more == 0 ? "" : fmt::format(" and {} more", more));
}

/// Follows the epochs, step by step.
class Follower {
 public:
  Follower(std::int64_t rows, const ConsumedCheck& check)
      : rows_(rows), check_(check), order_(rows, check.seed) {}

  /// What is wrong with the next step; "" where nothing is.
  std::string take(const LedgerLine& line) {
    const std::int64_t expected_step = report.steps + 1;
    if (line.step != expected_step)
      return fmt::format(
          "step {} follows step {}: {}", line.step, report.steps,
          line.step > expected_step ? "steps between them are missing" : "it stands there again");
    if (line.rows_of_set != rows_)
      return fmt::format("step {} was of a data set of {} rows, the steps before of {}", line.step,
                         line.rows_of_set, rows_);
    std::multiset<std::int64_t> rows = line.rows;
    if (std::string problem = take_rows(rows, line.step); !problem.empty()) return problem;
    if (line.rows != planned(line.step))
      return fmt::format("step {} trained on other rows than seed {} gives it", line.step, check_.seed);
    ++report.steps;
    report.examples += static_cast<std::int64_t>(line.rows.size());
    report.skipped += line.skipped ? 1 : 0;
    return "";
  }

  ConsumedReport report;

 private:
  /// A step may end one epoch and begin the next: where it has room for all that the present one lacks, these
  /// are the present one's, and the rest are the next one's.
  std::string take_rows(std::multiset<std::int64_t>& rows, std::int64_t step) {
    while (!rows.empty()) {
      if (report.epochs.empty() || report.epochs.back().whole) {
        report.epochs.push_back({});
        seen_.clear();
      }
      const auto lacking = static_cast<std::size_t>(rows_) - seen_.size();
      std::string problem = rows.size() >= lacking ? end_epoch(rows) : go_on(rows);
      if (!problem.empty())
        return fmt::format("epoch {}, step {}: {}", report.epochs.size() - 1, step, problem);
      report.epochs.back() = {.rows = static_cast<std::int64_t>(seen_.size()),
                              .whole = seen_.size() == static_cast<std::size_t>(rows_)};
    }
    return "";
  }

  std::string end_epoch(std::multiset<std::int64_t>& rows) {
    std::vector<std::int64_t> absent;
    for (std::int64_t row = 0; row < rows_; ++row) {
      if (!seen_.insert(row).second) continue;
      if (const auto found = rows.find(row); found != rows.end())
        rows.erase(found);
      else
        absent.push_back(row);
    }
    return absent.empty()
               ? ""
               : fmt::format("{} did not come, though this step should end the epoch", named(absent));
  }

  std::string go_on(std::multiset<std::int64_t>& rows) {
    std::vector<std::int64_t> again;
    for (const std::int64_t row : rows)
      if (!seen_.insert(row).second) again.push_back(row);
    rows.clear();
    return again.empty() ? "" : fmt::format("{} came a second time", named(again));
  }

  std::multiset<std::int64_t> planned(std::int64_t step) const {
    std::multiset<std::int64_t> rows{};
    for (std::int64_t i = 0; i < check_.sequences_per_step; ++i)
      rows.insert(order_.row((step - 1) * check_.sequences_per_step + i));
    return rows;
  }

  std::int64_t rows_;
  ConsumedCheck check_;
  SampleOrder order_;
  std::set<std::int64_t> seen_;  ///< in the present epoch
};

}  // namespace

void RowTally::add(const Slot& slot) {
  for (const std::int64_t row : slot.rows) {
    ++examples;
    digest += static_cast<std::int64_t>(mix_seed(static_cast<std::uint64_t>(row)) >> kDroppedBits);
  }
}

RowTally tally_of(const StepBatch& batch) {
  RowTally tally;
  for (const Slot& slot : batch.slots) tally.add(slot);
  return tally;
}

OrderedJson ledger_record(const StepBatch& batch, std::int64_t rows_of_set, bool skipped) {
  std::vector<std::int64_t> rows;
  for (const Slot& slot : batch.slots) rows.insert(rows.end(), slot.rows.begin(), slot.rows.end());
  OrderedJson record{{"step", batch.step + 1}, {"of", rows_of_set}, {"rows", std::move(rows)}};
  if (skipped) record["skipped"] = true;
  return record;
}

ConsumedReport check_consumed(const Path& ledger, const ConsumedCheck& check) {
  require(check.sequences_per_step >= 1, "{}: {} sequences a step", ledger.string(),
          check.sequences_per_step);
  const std::string text = read_file(ledger, kLargestLedger);
  std::optional<Follower> follower;
  std::int64_t number = 0;
  for (std::size_t begin = 0, end = text.find('\n'); end != text.npos;
       begin = end + 1, end = text.find('\n', begin)) {
    const LedgerLine line = parse_line(std::string_view(text).substr(begin, end - begin),
                                       fmt::format("{}:{}", ledger.string(), ++number));
    if (!follower) follower.emplace(line.rows_of_set, check);
    follower->report.rows_of_set = line.rows_of_set;
    std::string problem = follower->take(line);
    if (problem.empty()) continue;
    follower->report.problems.push_back(std::move(problem));
    break;
  }
  require(follower.has_value(), "{} holds no step", ledger.string());
  return std::move(follower->report);
}

}  // namespace ranktune
