#include "data/text_checks.h"

#include <algorithm>
#include <array>

namespace ranktune {
namespace {

bool is_space(std::uint32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200B) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000 || c == 0xFEFF;
}

bool is_control(std::uint32_t c) {
  if (c < 0x20) return c != '\t' && c != '\n' && c != '\r';
  return (c >= 0x7F && c <= 0x9F) || c == 0x200B || c == 0x200E || c == 0x200F ||
         (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || c == 0xFFFD;
}

bool is_latin_letter(std::uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0x24F);
}

bool is_full_stop(std::uint32_t c) {
  return c == '.' || c == 0x3002 || c == '!' || c == '?' || c == 0xFF01 || c == 0xFF1F;
}

bool is_open_end(std::uint32_t c) {
  return is_han(c) || is_latin_letter(c) || c == ',' || c == 0xFF0C || c == 0x3001;
}

bool any_of(std::string_view text, bool (*test)(std::uint32_t)) {
  for (std::size_t at = 0; at < text.size();) {
    if (test(next_code_point(text, at))) return true;
  }
  return false;
}

/// Whether `<` at the begin of `text` opens one of the tags that running text is left with.
bool begins_with_tag(std::string_view text) {
  static constexpr std::array<std::string_view, 14> kTags{"br", "p", "div",    "span", "a",    "li",  "ul",
                                                          "ol", "b", "strong", "em",   "font", "img", "td"};
  text.remove_prefix(1);
  if (text.starts_with('/')) text.remove_prefix(1);
  for (const std::string_view tag : kTags) {
    if (!text.starts_with(tag) || text.size() == tag.size()) continue;
    const std::string_view rest = text.substr(tag.size());
    if (rest.front() == '>' || rest.starts_with("/>") || rest.starts_with(" /") ||
        (rest.front() == ' ' && rest.substr(0, 200).find("=\"") != std::string_view::npos)) {
      return true;
    }
  }
  return false;
}

/// "&nbsp;", "&#8212;" and the like at the begin of `text`.
bool begins_with_entity(std::string_view text) {
  const auto end = text.substr(0, 10).find(';');
  if (end == std::string_view::npos || end < 3) return false;
  const std::string_view name = text.substr(1, end - 1);
  return name.front() == '#' ||
         std::all_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'z'; });
}

}  // namespace

std::uint32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t lead = byte(position++);
  if (lead < 0x80) return lead;
  const int extra = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
  std::uint32_t value = extra == 3   ? lead & 0x07
                        : extra == 2 ? lead & 0x0F
                        : extra == 1 ? lead & 0x1F
                                     : 0xFFFD;
  for (int i = 0; i < extra && position < text.size() && (byte(position) & 0xC0) == 0x80; ++i) {
    value = (value << 6) | (byte(position++) & 0x3F);
  }
  return value;
}

std::int64_t count_code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::size_t code_point_offset(std::string_view text, std::int64_t index) {
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) next_code_point(text, at);
  return at;
}

bool is_han(std::uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x323AF) ||
         c == 0x3007;
}

bool is_blank_text(std::string_view text) {
  return !any_of(text, [](std::uint32_t c) { return !is_space(c); });
}

bool has_control_characters(std::string_view text) { return any_of(text, is_control); }

bool has_html_remains(std::string_view text) {
  for (std::size_t at = text.find_first_of("<&"); at != std::string_view::npos;
       at = text.find_first_of("<&", at + 1)) {
    const std::string_view rest = text.substr(at);
    if (rest.front() == '<' ? begins_with_tag(rest) : begins_with_entity(rest)) return true;
  }
  return false;
}

bool looks_unfinished(std::string_view text) {
  if (count_code_points(text) < 40 || !any_of(text, is_full_stop)) return false;
  std::uint32_t last = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t c = next_code_point(text, at);
    if (!is_space(c)) last = c;
  }
  return is_open_end(last);
}

}  // namespace ranktune
