#include "data/prep_summary.h"

#include <fmt/format.h>

#include <bit>

#include "base/json.h"

namespace ranktune {
namespace {

OrderedJson problems_json(const std::map<std::string, PrepSummary::Problem>& problems) {
  OrderedJson json = OrderedJson::object();
  for (const auto& [name, problem] : problems) json[name] = problem.rows;
  return json;
}

OrderedJson output_json(const PrepOutput& output) {
  OrderedJson json;
  json["rows"] = output.rows;
  json["tokens"] = output.tokens;
  json["supervised_tokens"] = output.supervised_tokens;
  json["longest"] = output.longest;
  json["lengths"] = OrderedJson::object();
  for (std::size_t i = 0; i < output.lengths.buckets.size(); ++i) {
    if (output.lengths.buckets[i] == 0) continue;
    json["lengths"][fmt::format("{}-{}", 1ll << i, (1ll << (i + 1)) - 1)] = output.lengths.buckets[i];
  }
  return json;
}

void add_problems(std::string& text, const char* heading,
                  const std::map<std::string, PrepSummary::Problem>& all) {
  for (const auto& [name, problem] : all) {
    text += fmt::format("{} {}: {} rows\n", heading, name, problem.rows);
    for (const std::string& example : problem.examples) text += "    " + example + "\n";
  }
}

void add_output(std::string& text, const char* heading, const PrepOutput& output) {
  if (output.rows == 0) return;
  text +=
      fmt::format("{}: {} rows, {} tokens, {} of them targets ({:.1f} %), longest row {} tokens\n", heading,
                  output.rows, output.tokens, output.supervised_tokens,
                  100.0 * static_cast<double>(output.supervised_tokens) / static_cast<double>(output.tokens),
                  output.longest);
  for (const Path& file : output.files) text += "    " + file.string() + "\n";
}

}  // namespace

std::string_view name_of(RowProblem problem) {
  switch (problem) {
    case RowProblem::kNone:
      return "none";
    case RowProblem::kNonUtf8:
      return "non_utf8";
    case RowProblem::kBrokenJson:
      return "broken_json";
    case RowProblem::kWrongKeys:
      return "wrong_keys";
    case RowProblem::kRoleOrder:
      return "role_order_error";
    case RowProblem::kEmptyOutput:
      return "empty_output";
    case RowProblem::kNoPrompt:
      return "no_prompt";
    case RowProblem::kUnfilledMarker:
      return "unfilled_marker";
    case RowProblem::kNoTarget:
      return "no_target";
    case RowProblem::kDuplicate:
      return "exact_duplicate";
    case RowProblem::kOverLong:
      return "over_long";
  }
  return "unknown";
}

void LengthHistogram::add(std::int64_t tokens) {
  buckets[static_cast<std::size_t>(std::bit_width(static_cast<std::uint32_t>(tokens))) - 1] += 1;
}

std::int64_t PrepSummary::rows_skipped() const {
  std::int64_t sum = 0;
  for (const auto& [name, problem] : skipped) sum += problem.rows;
  return sum;
}

std::string PrepSummary::counts_json() const {
  OrderedJson json;
  json["rows_in"] = rows_in;
  json["train"] = output_json(train);
  if (validation.rows > 0) json["validation"] = output_json(validation);
  json["skipped"] = problems_json(skipped);
  json["changed"] = problems_json(changed);
  json["warned"] = problems_json(warned);
  json["lost_exchanges"] = lost_exchanges;
  json["rows_without_end_token"] = rows_without_end_token;
  return json.dump();
}

std::string PrepSummary::text() const {
  std::string text = fmt::format("{} rows read, {} left out\n", rows_in, rows_skipped());
  add_problems(text, "left out:", skipped);
  add_problems(text, "changed:", changed);
  add_problems(text, "look at:", warned);
  if (lost_exchanges > 0)
    text += fmt::format("prompts with their answers that fitted nowhere: {}\n", lost_exchanges);
  if (rows_without_end_token > 0) {
    text += fmt::format("rows whose last answer does not teach the end of the turn: {}\n",
                        rows_without_end_token);
  }
  add_output(text, "training", train);
  add_output(text, "validation", validation);
  return text;
}

}  // namespace ranktune
