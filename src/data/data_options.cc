#include "data/data_options.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"

namespace ranktune {
namespace {

template <typename Enum, std::size_t N>
using Names = std::array<std::pair<Enum, std::string_view>, N>;

constexpr Names<DataFormat, 5> kFormats{{{DataFormat::kAuto, "auto"},
                                         {DataFormat::kAlpaca, "alpaca"},
                                         {DataFormat::kShareGpt, "sharegpt"},
                                         {DataFormat::kMessages, "messages"},
                                         {DataFormat::kText, "text"}}};
constexpr Names<OverLength, 5> kPolicies{{{OverLength::kDrop, "drop"},
                                          {OverLength::kSplit, "split"},
                                          {OverLength::kKeepEnd, "keep_end"},
                                          {OverLength::kTerminate, "terminate"},
                                          {OverLength::kError, "error"}}};
constexpr Names<BadRow, 2> kBadRows{{{BadRow::kError, "error"}, {BadRow::kSkip, "skip"}}};

template <typename Enum, std::size_t N>
std::string_view find_name(const Names<Enum, N>& names, Enum value) {
  for (const auto& [each, name] : names) {
    if (each == value) return name;
  }
  fail("{} is no value of this option", static_cast<int>(value));
}

template <typename Enum, std::size_t N>
Enum find_value(const Names<Enum, N>& names, std::string_view name, const char* what) {
  std::vector<std::string> all;
  std::string listed;
  for (const auto& [value, each] : names) {
    if (each == name) return value;
    all.emplace_back(each);
    listed += (listed.empty() ? "" : ", ") + std::string(each);
  }
  fail("{} \"{}\" is unknown{}; there are: {}", what, name, did_you_mean(name, all), listed);
}

void check_range(const char* field, double value, double low, double high) {
  require(value >= low && value <= high, "{} = {} is out of range: {} .. {}", field, value, low, high);
}

}  // namespace

std::string_view name_of(DataFormat format) { return find_name(kFormats, format); }
std::string_view name_of(OverLength policy) { return find_name(kPolicies, policy); }
std::string_view name_of(BadRow policy) { return find_name(kBadRows, policy); }
DataFormat parse_data_format(std::string_view name) { return find_value(kFormats, name, "data format"); }
OverLength parse_over_length(std::string_view name) {
  return find_value(kPolicies, name, "over-length policy");
}
BadRow parse_bad_row(std::string_view name) { return find_value(kBadRows, name, "bad-row policy"); }

void PrepOptions::check() const {
  require(!inputs.empty(), "no input files were given");
  require(output.extension() == ".h5", "the output {} must be named NAME.h5", output.string());
  require(!model.empty(), "no model folder was given: its tokenizer and chat template are needed");
  check_range("max_length", static_cast<double>(max_length), 8, 1 << 20);
  check_range("validation_fraction", validation_fraction, 0.0, 0.5);
  check_range("compression", compression, 0, 9);
  check_range("threads", threads, 0, 4096);
  check_range("max_record_bytes", static_cast<double>(max_record_bytes), 1 << 10, 1ll << 32);
  require(shard_tokens == 0 || shard_tokens >= max_length,
          "shard_tokens = {} is less than one row of max_length = {}", shard_tokens, max_length);
  require(shard_rows >= 0, "shard_rows = {} is negative", shard_rows);
  if (format == DataFormat::kText) {
    check_range("text.passage_max", static_cast<double>(text.passage_max), 1, 20000);
    check_range("text.passage_min", static_cast<double>(text.passage_min), 1,
                static_cast<double>(text.passage_max));
    check_range("text.context_max", static_cast<double>(text.context_max), 1, 20000);
    check_range("text.held_out", text.held_out, 0.0, 0.5);
    require(validation_fraction == 0.0,
            "validation_fraction = {} does not go with text inputs: text.held_out keeps whole files back",
            validation_fraction);
  }
  const bool splits = validation_fraction > 0.0 || (format == DataFormat::kText && text.held_out > 0.0);
  require(validation_fraction == 0.0 || !validation_output.empty(),
          "validation_fraction = {} needs a validation output", validation_fraction);
  require(validation_output.empty() || splits, "a validation output needs a validation fraction above 0");
  require(validation_output.empty() || validation_output.extension() == ".h5",
          "the validation output {} must be named NAME.h5", validation_output.string());
  require(validation_output.empty() || validation_output.lexically_normal() != output.lexically_normal(),
          "the output and the validation output are both {}", output.string());
}

}  // namespace ranktune
