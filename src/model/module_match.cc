#include "model/module_match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace ranktune {
namespace {

constexpr std::string_view kRegexMark = "re:";

/// One expression in Python's notation, of which PCRE2 reads all that names of modules need.
class Regex {
 public:
  explicit Regex(const std::string& expression) {
    int code = 0;
    PCRE2_SIZE at = 0;
    compiled_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                  PCRE2_UTF, &code, &at, nullptr));
    if (compiled_) return;
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(code, text.data(), text.size());
    fail("\"{}\" is not a regular expression: {} at character {}", expression,
         reinterpret_cast<const char*>(text.data()), at);
  }

  /// Python's re.fullmatch; with `begin_only` re.match. The text of the group named "idx", or "" without one.
  std::optional<std::string> match(const std::string& text, bool begin_only = false) const {
    const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
        pcre2_match_data_create_from_pattern(compiled_.get(), nullptr), &pcre2_match_data_free);
    const std::uint32_t options = PCRE2_ANCHORED | (begin_only ? 0U : PCRE2_ENDANCHORED);
    const int found = pcre2_match(compiled_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                  options, data.get(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
    require(found >= 0, "a regular expression cannot be matched against \"{}\" (PCRE2 error {})", text,
            found);
    PCRE2_UCHAR* group = nullptr;
    PCRE2_SIZE size = 0;
    const auto* const group_name = reinterpret_cast<PCRE2_SPTR>("idx");
    if (pcre2_substring_get_byname(data.get(), group_name, &group, &size) != 0) return "";
    std::string value(reinterpret_cast<const char*>(group), size);
    pcre2_substring_free(group);
    return value;
  }

 private:
  std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> compiled_{nullptr, &pcre2_code_free};
};

bool is_name_or_ending(const std::string& module, const std::string& name) {
  return module == name || module.ends_with("." + name);
}

/// The rule of layers_to_transform: the first number that stands as a part of the name is the layer.
bool is_in_layers(const LoraOptions& options, const std::string& module) {
  std::vector<std::string> expressions;
  for (const std::string& pattern : options.layers_pattern)
    expressions.push_back(fmt::format(R"((?:^|.*?\.){}\.(?P<idx>\d+)\.)", pattern));
  if (expressions.empty()) expressions.emplace_back(R"(.*?\.[^.]*\.(?P<idx>\d+)\.)");
  for (const std::string& expression : expressions) {
    const std::optional<std::string> digits = Regex(expression).match(module, /*begin_only=*/true);
    if (!digits) continue;
    std::int64_t layer = -1;
    std::from_chars(digits->data(), digits->data() + digits->size(), layer);
    const auto& wanted = options.layers_to_transform;
    return std::find(wanted.begin(), wanted.end(), layer) != wanted.end();
  }
  return false;
}

template <typename Value>
Value pattern_value(const ModulePattern<Value>& pattern, const std::string& module, Value fallback) {
  for (const auto& [key, value] : pattern)
    if (Regex(fmt::format(R"((.*\.)?({}))", key)).match(module)) return value;
  return fallback;
}

}  // namespace

ModuleSelection parse_selection(const std::vector<std::string>& items) {
  if (items.size() == 1 && items.front().starts_with(kRegexMark)) {
    const std::string regex = items.front().substr(kRegexMark.size());
    require(!regex.empty(), "\"{}\" is followed by no expression", kRegexMark);
    [[maybe_unused]] const Regex compiles{regex};  // refuses what is no expression
    return {.names = {}, .regex = regex};
  }
  for (const std::string& item : items)
    require(!item.starts_with(kRegexMark),
            "\"{}\" is a regular expression and must stand alone; join several with |", item);
  return {.names = items, .regex = {}};
}

bool is_selected(const ModuleSelection& selection, const std::string& module) {
  if (!selection.regex.empty()) return Regex(selection.regex).match(module).has_value();
  return std::any_of(selection.names.begin(), selection.names.end(),
                     [&](const std::string& name) { return is_name_or_ending(module, name); });
}

bool is_target(const LoraOptions& options, const std::string& module) {
  if (is_selected(options.exclude, module) || !is_selected(options.targets, module)) return false;
  for (const std::string& saved : options.modules_to_save)
    if (Regex(fmt::format(R"((.*\.)?{}(\..*)?)", saved)).match(module)) return false;
  const auto& names = options.targets.names;
  const bool any_layer = options.layers_to_transform.empty() || !options.targets.regex.empty() ||
                         std::find(names.begin(), names.end(), module) != names.end();
  return any_layer || is_in_layers(options, module);
}

std::int64_t rank_of(const LoraOptions& options, const std::string& module) {
  return pattern_value(options.rank_pattern, module, options.rank);
}

double alpha_of(const LoraOptions& options, const std::string& module) {
  return pattern_value(options.alpha_pattern, module, options.alpha);
}

}  // namespace ranktune
