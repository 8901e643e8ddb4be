#include "config/describe.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "config/option.h"

namespace ranktune {
namespace {

/// What the run does with the option, so that configurations can be compared: "" where it has no effect.
std::string effective_value(const Option& option, const RunConfig& config) {
  if (option.unused != nullptr && option.unused(config) != nullptr) return "";
  return option_value(option, config);
}

/// A comment may hold neither control characters nor broken UTF-8; file names can have both.
std::string comment_text(const std::string& text) {
  const auto is_odd = [](char c) { return c < 0x20 || c == 0x7f; };  // also all bytes of non-ASCII characters
  if (std::none_of(text.begin(), text.end(), is_odd)) return text;
  const std::string quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

std::string describe_option(const Option& option, const LoadedConfig& config) {
  const auto found = config.origins.find(option.name);
  std::string note = found == config.origins.end() ? "default" : comment_text(found->second);
  const bool missing = option.required && is_off(option, config.values);
  const char* reason = option.unused == nullptr ? nullptr : option.unused(config.values);
  if (missing) note = "missing: it must be given";
  if (reason != nullptr) note += fmt::format("; no effect, because {}", reason);
  return fmt::format("# {} ({})\n{}{} = {}  # {}\n", option.meaning, option_allowed(option),
                     missing || reason != nullptr ? "# " : "", option.key(),
                     option_value(option, config.values), note);
}

RawValue to_raw(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return {json.get<bool>()};
    case Json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
        return {json.get<double>()};
      return {json.get<std::int64_t>()};
    case Json::value_t::number_integer:
      return {json.get<std::int64_t>()};
    case Json::value_t::number_float:
      return {json.get<double>()};
    case Json::value_t::string:
      return {json.get<std::string>()};
    case Json::value_t::array: {
      RawValue::List list;
      for (const Json& item : json) list.push_back(to_raw(item));
      return {std::move(list)};
    }
    case Json::value_t::object: {
      RawValue::Table table;
      for (const auto& [key, item] : json.items()) table.emplace(key, to_raw(item));
      return {std::move(table)};
    }
    default:
      return {RawValue::Other{"null"}};
  }
}

}  // namespace

std::string describe(const LoadedConfig& config) {
  std::string text = "# Each key: meaning (what it takes), value, and where the value comes from.\n\n";
  std::string_view section;
  for (const Option& option : options()) {
    if (option.section() != section) {
      section = option.section();
      text += fmt::format("\n[{}]\n", section);
    }
    text += describe_option(option, config);
  }
  return text;
}

std::string config_hash(const RunConfig& config) {
  Hasher hasher;
  for (const Option& option : options())
    if (option.affects_result)
      hasher.add(fmt::format("{} = {}\n", option.name, effective_value(option, config)));
  return hasher.hex();
}

std::vector<ConfigChange> diff_configs(const RunConfig& before, const RunConfig& after) {
  std::vector<ConfigChange> changes;
  for (const Option& option : options()) {
    const std::string old_value = effective_value(option, before), new_value = effective_value(option, after);
    if (old_value == new_value) continue;
    changes.push_back({.name = option.name,
                       .before = old_value.empty() ? "without effect" : old_value,
                       .after = new_value.empty() ? "without effect" : new_value,
                       .affects_result = option.affects_result});
  }
  return changes;
}

void require_same_result(const RunConfig& saved, const RunConfig& now, std::string_view where) {
  std::string lines;
  for (const ConfigChange& change : diff_configs(saved, now))
    if (change.affects_result)
      lines += fmt::format("\n  {}: was {}, is now {}", change.name, change.before, change.after);
  require(lines.empty(),
          "{}: this run was begun with another configuration and cannot go on with the present one:{}\n"
          "Put the old values back, or begin a new run with another run.dir.",
          where, lines);
}

OrderedJson to_json(const RunConfig& config) {
  OrderedJson json = OrderedJson::object();
  for (const Option& option : options()) json[option.name] = option_json(option, config);
  return json;
}

RunConfig config_from_json(const Json& json, std::string_view where) {
  require(json.is_object(), "{}: the configuration is not a JSON object", where);
  RunConfig config;
  for (const auto& [name, value] : json.items()) {
    const Option* option = find_option(name);
    const Option* renamed = find_renamed_option(name);
    if (option == nullptr && renamed == nullptr)
      fail("{}: unknown key \"{}\"{} (was it written by a newer ranktune?)", where, name,
           did_you_mean(name, option_names()));
    if (option == nullptr) {
      // Under its old name the option was a switch.
      assign_option(*renamed, value.is_boolean() ? RawValue{std::int64_t{value.get<bool>()}} : to_raw(value),
                    where, config);
      continue;
    }
    if (option->required && value.empty()) continue;  // a configuration may be kept before it is complete
    assign_option(*option, to_raw(value), where, config);
  }
  return config;
}

}  // namespace ranktune
