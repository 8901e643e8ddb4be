#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "config/run_config.h"

namespace ranktune {

/// A value as a file, a command line or a checkpoint's JSON gives it, before it is known what it should be.
struct RawValue {
  using List = std::vector<RawValue>;
  using Table = std::map<std::string, RawValue>;
  struct Other {
    std::string kind;  ///< "a date", "null" …: nothing that an option could be
  };
  std::variant<bool, std::int64_t, double, std::string, List, Table, Other> value;
};

/// Where an option lives in a RunConfig; the alternative says its type.
using OptionField = std::variant<bool*, std::int64_t*, double*, std::array<double, 2>*, std::string*,
                                 std::vector<std::string>*, std::vector<std::int64_t>*,
                                 std::map<std::string, std::int64_t>*, std::map<std::string, double>*>;

/// The interval of a number, or of each number of a pair, list or table.
struct Range {
  double low = 0;
  double high = 0;
  bool low_open = false;   ///< low itself is not allowed
  bool high_open = false;  ///< high itself is not allowed
};

/// One configuration key. The table of these (option_table.cc) is what parsing, checking, printing, comparing
/// and hashing go by.
struct Option {
  std::string name;     ///< "section.key" or "key"
  std::string meaning;  ///< one line, for people
  OptionField (*field)(RunConfig&);
  Range range{};                       ///< of numbers
  std::vector<std::string> choices{};  ///< of text; empty: free
  bool required = false;
  bool affects_result = true;  ///< another value trains other weights
  /// Why the key has no effect in this configuration, or nullptr where it has one. Null: it always has one.
  const char* (*unused)(const RunConfig&) = nullptr;
  std::string_view formerly{};  ///< the name of an earlier version, whose configurations are still met

  std::string_view section() const;  ///< "lora" of "lora.rank"; "" for "device"
  std::string_view key() const;      ///< "rank"
};

/// All options, in the order in which they are printed.
const std::vector<Option>& options();
/// Their names, in that order.
const std::vector<std::string>& option_names();
/// nullptr where there is no such option.
const Option* find_option(std::string_view name);
/// The option that once had this name; nullptr where none had.
const Option* find_renamed_option(std::string_view name);

/// Checks `raw` against the option's type, range and choices and stores it. `where` ("file:line:column",
/// "--set …") begins the message of the error.
void assign_option(const Option& option, const RawValue& raw, std::string_view where, RunConfig& config);

/// Whether the option is a string or a list of strings, so that a bare word on the command line can be its
/// value.
bool takes_text(const Option& option);
bool takes_list(const Option& option);
/// Whether it is a list of integers, or a table of numbers.
bool takes_integers(const Option& option);
bool takes_table(const Option& option);

/// Whether the value asks for nothing: "", [], 0 or false.
bool is_off(const Option& option, const RunConfig& config);

/// The option's value as TOML.
std::string option_value(const Option& option, const RunConfig& config);
OrderedJson option_json(const Option& option, const RunConfig& config);

/// "an integer from 1 to 4096", "one of "cosine", "linear"": what the option takes, for messages and the
/// printed form.
std::string option_allowed(const Option& option);

/// Text as a TOML basic string, quotes included.
std::string toml_string(std::string_view text);

}  // namespace ranktune
