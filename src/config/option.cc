#include "config/option.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <type_traits>

#include "base/error.h"
#include "base/nearest.h"

namespace ranktune {
namespace {

template <typename... Cases>
struct Overload : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overload(Cases...) -> Overload<Cases...>;

/// The shortest text that reads back as the same double, and reads as a float, not an integer.
std::string float_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

/// What the user gave, for messages: `the string "8"`, `1.5`, `a list of 3`.
std::string found_text(const RawValue& raw) {
  return std::visit(
      Overload{[](bool v) { return std::string(v ? "true" : "false"); },
               [](std::int64_t v) { return fmt::format("the integer {}", v); },
               [](double v) { return fmt::format("the number {}", float_text(v)); },
               [](const std::string& v) { return "the string " + toml_string(v.substr(0, 80)); },
               [](const RawValue::List& v) { return fmt::format("a list of {}", v.size()); },
               [](const RawValue::Table&) { return std::string("a table"); },
               [](const RawValue::Other& v) { return v.kind; }},
      raw.value);
}

/// The end of a type error: how to write what was probably meant.
std::string type_remedy(const Option& option, const RawValue& raw) {
  if (takes_text(option) || takes_list(option)) return "write it in double quotes";
  if (takes_table(option))
    return fmt::format("write for instance {} = {{\"q_proj\" = 4}}, names with a dot in quotes",
                       option.key());
  if (takes_integers(option)) return fmt::format("write for instance {} = [0, 1]", option.key());
  const bool text = std::holds_alternative<std::string>(raw.value);
  return fmt::format("write for instance {} = {}{}", option.key(), option_value(option, RunConfig{}),
                     text ? ", without quotes" : "");
}

[[noreturn]] void fail_type(const Option& option, const RawValue& raw, std::string_view where) {
  fail("{}: {} must be {}, but is {}; {}", where, option.name, option_allowed(option), found_text(raw),
       type_remedy(option, raw));
}

[[noreturn]] void fail_value(const Option& option, std::string_view value, std::string_view where,
                             std::string_view hint = "") {
  fail("{}: {} is {}, but must be {}{}", where, option.name, value, option_allowed(option), hint);
}

void check_number(const Option& option, double number, std::string_view value, std::string_view where) {
  const Range& range = option.range;
  const bool inside = std::isfinite(number) && number >= range.low && number <= range.high &&
                      !(range.low_open && number == range.low) && !(range.high_open && number == range.high);
  if (!inside) fail_value(option, value, where);
}

template <typename T>
const T& as(const Option& option, const RawValue& raw, std::string_view where) {
  const T* value = std::get_if<T>(&raw.value);
  if (value == nullptr) fail_type(option, raw, where);
  return *value;
}

double as_number(const Option& option, const RawValue& raw, std::string_view where) {
  double number = 0;
  if (const auto* real = std::get_if<double>(&raw.value)) {
    number = *real;
  } else if (const auto* whole = std::get_if<std::int64_t>(&raw.value)) {
    number = static_cast<double>(*whole);
  } else {
    fail_type(option, raw, where);
  }
  check_number(option, number, fmt::format("{}", number), where);
  return number;
}

void check_choice(const Option& option, const std::string& value, std::string_view where) {
  if (option.choices.empty()) return;
  if (std::find(option.choices.begin(), option.choices.end(), value) == option.choices.end())
    fail_value(option, toml_string(value), where, did_you_mean(value, option.choices));
}

std::vector<std::string> as_list(const Option& option, const RawValue& raw, std::string_view where) {
  std::vector<std::string> list;
  if (const auto* one = std::get_if<std::string>(&raw.value)) {
    if (!one->empty()) list.push_back(*one);
  } else if (const auto* many = std::get_if<RawValue::List>(&raw.value)) {
    for (const RawValue& item : *many) {
      const auto* text = std::get_if<std::string>(&item.value);
      if (text == nullptr) fail_type(option, item, where);
      require(!text->empty(), "{}: {} has an empty string in its list; remove it", where, option.name);
      list.push_back(*text);
    }
  } else {
    fail_type(option, raw, where);
  }
  std::set<std::string> seen;
  for (const std::string& item : list)
    require(seen.insert(item).second, "{}: {} names {} twice; remove one of them", where, option.name,
            toml_string(item));
  return list;
}

std::int64_t as_integer(const Option& option, const RawValue& raw, std::string_view where) {
  const auto value = as<std::int64_t>(option, raw, where);
  check_number(option, static_cast<double>(value), fmt::format("{}", value), where);
  return value;
}

std::vector<std::int64_t> as_integers(const Option& option, const RawValue& raw, std::string_view where) {
  std::vector<std::int64_t> list;
  std::set<std::int64_t> seen;
  for (const RawValue& item : as<RawValue::List>(option, raw, where)) {
    list.push_back(as_integer(option, item, where));
    require(seen.insert(list.back()).second, "{}: {} names {} twice; remove one of them", where, option.name,
            list.back());
  }
  return list;
}

template <typename Value>
void assign_table(const Option& option, const RawValue& raw, std::string_view where,
                  std::map<std::string, Value>& field) {
  field.clear();
  for (const auto& [key, item] : as<RawValue::Table>(option, raw, where)) {
    require(!key.empty(), "{}: {} has an empty name; remove it", where, option.name);
    if constexpr (std::is_same_v<Value, double>) {
      field[key] = as_number(option, item, where);
    } else {
      field[key] = as_integer(option, item, where);
    }
  }
}

std::string number_text(std::int64_t value) { return fmt::format("{}", value); }
std::string number_text(double value) { return float_text(value); }

template <typename Value>
std::string table_text(const std::map<std::string, Value>& table) {
  std::vector<std::string> entries;
  for (const auto& [key, value] : table)
    entries.push_back(fmt::format("{} = {}", toml_string(key), number_text(value)));
  return fmt::format("{{{}}}", fmt::join(entries, ", "));
}

std::string list_text(const std::vector<std::string>& list) {
  std::vector<std::string> quoted;
  for (const std::string& item : list) quoted.push_back(toml_string(item));
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

/// "from 0 to below 1", "above 0 and up to 10".
std::string range_text(const Range& range, bool whole) {
  const auto number = [&](double v) { return whole ? fmt::format("{:.0f}", v) : fmt::format("{}", v); };
  return fmt::format("{} {} {} {}", range.low_open ? "above" : "from", number(range.low),
                     range.high_open ? "to below" : "to", number(range.high));
}

/// The field of a configuration that is only read.
OptionField field_of(const Option& option, const RunConfig& config) {
  return option.field(const_cast<RunConfig&>(config));
}

}  // namespace

std::string_view Option::section() const {
  const auto dot = name.find('.');
  return dot == name.npos ? std::string_view{} : std::string_view(name).substr(0, dot);
}

std::string_view Option::key() const {
  const auto dot = name.find('.');
  return dot == name.npos ? std::string_view(name) : std::string_view(name).substr(dot + 1);
}

const std::vector<std::string>& option_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Option& option : options()) all.push_back(option.name);
    return all;
  }();
  return names;
}

const Option* find_option(std::string_view name) {
  for (const Option& option : options())
    if (option.name == name) return &option;
  return nullptr;
}

const Option* find_renamed_option(std::string_view name) {
  for (const Option& option : options())
    if (!name.empty() && option.formerly == name) return &option;
  return nullptr;
}

bool takes_text(const Option& option) {
  return std::holds_alternative<std::string*>(field_of(option, RunConfig{}));
}

bool takes_list(const Option& option) {
  return std::holds_alternative<std::vector<std::string>*>(field_of(option, RunConfig{}));
}

bool takes_integers(const Option& option) {
  return std::holds_alternative<std::vector<std::int64_t>*>(field_of(option, RunConfig{}));
}

bool takes_table(const Option& option) {
  const OptionField field = field_of(option, RunConfig{});
  return std::holds_alternative<std::map<std::string, std::int64_t>*>(field) ||
         std::holds_alternative<std::map<std::string, double>*>(field);
}

bool is_off(const Option& option, const RunConfig& config) {
  return std::visit(Overload{[](const std::string* v) { return v->empty(); },
                             [](const std::vector<std::string>* v) { return v->empty(); },
                             [](const std::array<double, 2>*) { return false; },
                             [](const auto* v) { return *v == std::remove_cvref_t<decltype(*v)>{}; }},
                    field_of(option, config));
}

void assign_option(const Option& option, const RawValue& raw, std::string_view where, RunConfig& config) {
  std::visit(Overload{[&](bool* field) { *field = as<bool>(option, raw, where); },
                      [&](std::int64_t* field) { *field = as_integer(option, raw, where); },
                      [&](double* field) { *field = as_number(option, raw, where); },
                      [&](std::array<double, 2>* field) {
                        const auto* list = std::get_if<RawValue::List>(&raw.value);
                        if (list == nullptr || list->size() != field->size()) fail_type(option, raw, where);
                        for (std::size_t i = 0; i < field->size(); ++i)
                          (*field)[i] = as_number(option, (*list)[i], where);
                      },
                      [&](std::string* field) {
                        const auto& value = as<std::string>(option, raw, where);
                        check_choice(option, value, where);
                        *field = value;
                      },
                      [&](std::vector<std::string>* field) { *field = as_list(option, raw, where); },
                      [&](std::vector<std::int64_t>* field) { *field = as_integers(option, raw, where); },
                      [&](auto* table) { assign_table(option, raw, where, *table); }},
             option.field(config));
  require(!option.required || !is_off(option, config), "{}: {} must not be empty ({})", where, option.name,
          option.meaning);
}

std::string option_value(const Option& option, const RunConfig& config) {
  return std::visit(
      Overload{[](const bool* v) { return std::string(*v ? "true" : "false"); },
               [](const std::int64_t* v) { return fmt::format("{}", *v); },
               [](const double* v) { return float_text(*v); },
               [](const std::array<double, 2>* v) {
                 return fmt::format("[{}, {}]", float_text((*v)[0]), float_text((*v)[1]));
               },
               [](const std::string* v) { return toml_string(*v); },
               [](const std::vector<std::string>* v) {
                 return v->size() == 1 ? toml_string(v->front()) : list_text(*v);
               },
               [](const std::vector<std::int64_t>* v) { return fmt::format("[{}]", fmt::join(*v, ", ")); },
               [](const auto* table) { return table_text(*table); }},
      field_of(option, config));
}

OrderedJson option_json(const Option& option, const RunConfig& config) {
  return std::visit([](const auto* value) { return OrderedJson(*value); }, field_of(option, config));
}

std::string option_allowed(const Option& option) {
  const auto text = [&]() -> std::string {
    if (option.choices.empty()) return "a string";
    std::vector<std::string> quoted;
    for (const std::string& choice : option.choices) quoted.push_back(toml_string(choice));
    return fmt::format("one of {}", fmt::join(quoted, ", "));
  };
  return std::visit(
      Overload{[](bool*) { return std::string("true or false"); },
               [&](std::int64_t*) {
                 if (option.range.low == option.range.high) return fmt::format("{:.0f}", option.range.low);
                 return "an integer " + range_text(option.range, true);
               },
               [&](double*) { return "a number " + range_text(option.range, false); },
               [&](std::array<double, 2>*) {
                 return fmt::format("a list of two numbers, each {}", range_text(option.range, false));
               },
               [&](std::string*) { return text(); },
               [](std::vector<std::string>*) { return std::string("a string or a list of strings"); },
               [&](std::vector<std::int64_t>*) {
                 return fmt::format("a list of integers, each {}", range_text(option.range, true));
               },
               [&](std::map<std::string, std::int64_t>*) {
                 return fmt::format("a table of integers, each {}", range_text(option.range, true));
               },
               [&](std::map<std::string, double>*) {
                 return fmt::format("a table of numbers, each {}", range_text(option.range, false));
               }},
      field_of(option, RunConfig{}));
}

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace ranktune
