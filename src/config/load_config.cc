#include "config/load_config.h"

// A file can break what toml++ asserts of itself ("[[~"). Asserted, it would end the program; without
// assertions clang takes it for a promise. Switched off, the parser goes on to its ordinary error.
#undef NDEBUG
#define TOML_ASSERT(expr) static_cast<void>(0)
#include <toml++/toml.h>

#include <algorithm>

#include "base/error.h"
#include "base/nearest.h"
#include "config/check_config.h"
#include "config/option.h"

namespace ranktune {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1 << 20;
constexpr int kMaxDots = 64;

/// A key of the file with the table path joined by dots, before it is known whether there is such an option.
struct Entry {
  std::string name;
  toml::source_position key_at, value_at;
  const toml::node* node;
};

std::string place(std::string_view file, toml::source_position at) {
  return fmt::format("{}:{}:{}", file, at.line, at.column);
}

/// The position after the string that begins with the quotation mark at text[at].
std::size_t end_of_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool several_lines = text.substr(at, 3) == three;
  for (std::size_t i = at + (several_lines ? 3 : 1); i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (several_lines && text.substr(i, 3) == three) {
      // Up to two more quotation marks belong to the text before the three that close it.
      const std::size_t end = std::min(text.find_first_not_of(quote, i), text.size());
      return std::min(end, i + 5);
    } else if (!several_lines && text[i] == quote) {
      return i + 1;
    } else if (!several_lines && text[i] == '\n') {
      return i;  // not closed: the parser will say so
    }
  }
  return text.size();
}

/// The same of a byte of the text; columns count characters.
std::string place(std::string_view file, std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const std::string_view in_line = before.substr(before.rfind('\n') + 1);  // npos + 1 is 0
  const auto is_first_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return fmt::format("{}:{}:{}", file, 1 + std::count(before.begin(), before.end(), '\n'),
                     1 + std::count_if(in_line.begin(), in_line.end(), is_first_byte));
}

/// What stands outside of strings and comments must not bring the parser into trouble: it builds dotted keys
/// recursively, so that a key of a million dots would exhaust the stack, and toml++ 3.3 is undefined on
/// characters that are not ASCII.
void check_bare_text(std::string_view text, std::string_view file) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  int dots = 0;
  for (std::size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0; at < text.size();) {
    const char c = text[at];
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    if (c == '"' || c == '\'') {
      at = end_of_string(text, at);
      continue;
    }
    require(static_cast<unsigned char>(c) < 0x80,
            "{}: not valid TOML: only plain ASCII letters and signs can stand outside of double quotes",
            place(file, text, at));
    if (c == '\n' || c == '=' || c == ',') dots = 0;
    if (c == '.')
      require(++dots <= kMaxDots, "{}: more than {} dots in one key; no key is nested like that",
              place(file, text, at), kMaxDots);
    ++at;
  }
}

toml::table parse_toml(std::string_view text, std::string_view file) {
  check_bare_text(text, file);
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    fail("{}: not valid TOML: {} (text stands in double quotes, a key stands only once)",
         place(file, error.source().begin), error.description());
  }
}

RawValue to_raw(const toml::node& node) {
  if (const auto* v = node.as_boolean()) return {v->get()};
  if (const auto* v = node.as_integer()) return {v->get()};
  if (const auto* v = node.as_floating_point()) return {v->get()};
  if (const auto* v = node.as_string()) return {v->get()};
  if (const auto* v = node.as_array()) {
    RawValue::List list;
    for (const toml::node& item : *v) list.push_back(to_raw(item));
    return {std::move(list)};
  }
  if (const auto* v = node.as_table()) {
    RawValue::Table table;
    for (const auto& [key, item] : *v) table.emplace(std::string(key.str()), to_raw(item));
    return {std::move(table)};
  }
  return {RawValue::Other{"a date or time"}};
}

const std::vector<std::string>& section_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Option& option : options())
      if (!option.section().empty() && (all.empty() || all.back() != option.section()))
        all.emplace_back(option.section());
    return all;
  }();
  return names;
}

bool is_section(std::string_view name) {
  const auto& names = section_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void fail_unknown(std::string_view where, const std::string& name, bool section) {
  if (const Option* renamed = find_renamed_option(name))
    fail("{}: \"{}\" is \"{}\" now: {} ({})", where, name, renamed->name, renamed->meaning,
         option_allowed(*renamed));
  const std::string hint = section ? did_you_mean(name, section_names()) : did_you_mean(name, option_names());
  fail("{}: unknown {} \"{}\"{}", where, section ? "section" : "key", name,
       hint.empty() ? "; `ranktune train --print-config` shows all keys" : hint);
}

[[noreturn]] void fail_section(std::string_view where, const std::string& name, std::string_view found) {
  const auto member = std::find_if(options().begin(), options().end(),
                                   [&](const Option& option) { return option.section() == name; });
  fail("{}: {} is a section, but is given {}; write one key of it, for instance {} = {}", where, name, found,
       member->name, option_value(*member, RunConfig{}));
}

/// Root keys and the keys of known sections, in the order of the file (toml++ sorts them by name).
std::vector<Entry> entries_of(const toml::table& root, std::string_view file) {
  std::vector<Entry> entries;
  for (const auto& [key, node] : root) {
    const std::string name(key.str());
    if (!is_section(name)) {
      entries.push_back({name, key.source().begin, node.source().begin, &node});
      continue;
    }
    if (!node.is_table()) fail_section(place(file, node.source().begin), name, "as a value or [[list]]");
    for (const auto& [member, value] : *node.as_table())
      entries.push_back(
          {name + "." + std::string(member.str()), member.source().begin, value.source().begin, &value});
  }
  const auto position = [](const Entry& entry) { return std::pair(entry.key_at.line, entry.key_at.column); };
  std::sort(entries.begin(), entries.end(),
            [&](const Entry& a, const Entry& b) { return position(a) < position(b); });
  return entries;
}

void apply_file(const toml::table& root, std::string_view file, LoadedConfig& config) {
  for (const Entry& entry : entries_of(root, file)) {
    const Option* option = find_option(entry.name);
    if (option == nullptr) fail_unknown(place(file, entry.key_at), entry.name, entry.node->is_table());
    const std::string where = place(file, entry.value_at);
    assign_option(*option, to_raw(*entry.node), where, config.values);
    config.origins[option->name] = where;
  }
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

RawValue parse_toml_value(std::string_view text, std::string_view where) {
  const toml::table table = parse_toml(fmt::format("value = {}", text), where);
  return to_raw(*table.get("value"));
}

/// Unquoted text of the command line. Through the parser, because it checks that the text is UTF-8.
RawValue bare_text(std::string_view text, std::string_view where) {
  return parse_toml_value(toml_string(text), where);
}

/// q_proj,v_proj
RawValue bare_list(std::string_view text, std::string_view where) {
  RawValue::List list;
  for (std::size_t at = 0; at <= text.size();) {
    const auto comma = std::min(text.find(',', at), text.size());
    list.push_back(bare_text(trimmed(text.substr(at, comma - at)), where));
    at = comma + 1;
  }
  return {std::move(list)};
}

RawValue parse_override_value(const Option& option, std::string_view text, std::string_view where) {
  const bool quoted = text.starts_with('"') || text.starts_with('\'');
  if (takes_text(option) && !quoted) return bare_text(text, where);
  if (takes_list(option) && !quoted && !text.empty() && !text.starts_with('[')) return bare_list(text, where);
  if (takes_list(option) && text.empty()) return {RawValue::List{}};
  if (takes_text(option) || takes_list(option)) return parse_toml_value(text, where);
  try {
    return parse_toml_value(text, where);
  } catch (const Error&) {
    return bare_text(text,
                     where);  // for numbers and switches: the type error that follows says what is wanted
  }
}

void apply_override(const std::string& argument, LoadedConfig& config) {
  const std::string where = "--set " + argument;
  const auto equals = argument.find('=');
  if (equals == argument.npos)
    throw Error(
        fmt::format("{}: there is no \"=\"; write --set key=value, for instance --set lora.rank=16", where),
        ErrorKind::kUsage);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; };
  require(std::none_of(argument.begin(), argument.end(), is_control),
          "--set {}: there is a line break or another control character in it; remove it",
          toml_string(argument));
  const std::string name(trimmed(std::string_view(argument).substr(0, equals)));
  const std::string_view text = trimmed(std::string_view(argument).substr(equals + 1));
  if (is_section(name)) fail_section(where, name, "as a value");
  const Option* option = find_option(name);
  if (option == nullptr) fail_unknown(where, name, false);
  assign_option(*option, parse_override_value(*option, text, where), where, config.values);
  config.origins[option->name] = where;
}

void apply_overrides(std::span<const std::string> overrides, LoadedConfig& config) {
  for (const std::string& argument : overrides) apply_override(argument, config);
}

}  // namespace

LoadedConfig read_config_text(std::string_view text, std::string_view name,
                              std::span<const std::string> overrides) {
  LoadedConfig config;
  apply_file(parse_toml(text, name), name, config);
  apply_overrides(overrides, config);
  return config;
}

LoadedConfig read_config(const std::optional<Path>& file, std::span<const std::string> overrides) {
  if (file) return read_config_text(read_file(*file, kMaxFileBytes), file->string(), overrides);
  LoadedConfig config;
  apply_overrides(overrides, config);
  return config;
}

LoadedConfig load_config(const std::optional<Path>& file, std::span<const std::string> overrides) {
  LoadedConfig config = read_config(file, overrides);
  check_config(config);
  return config;
}

}  // namespace ranktune
