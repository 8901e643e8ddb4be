#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace ranktune {

using Json = nlohmann::json;
/// Keeps keys in the order they were written: for files people read.
using OrderedJson = nlohmann::ordered_json;

/// Strict JSON (UTF-8, no comments). Errors name `where` and the byte position. Nesting is capped, so that
/// hostile input cannot exhaust the stack.
Json parse_json(std::string_view text, std::string_view where);
Json read_json_file(const Path& path);
/// Refuses what Json::parse would hide or a recursive reader could not bear: a key given twice in one object,
/// more than `max_depth` containers in each other. Whether it is JSON at all is left to the parser.
void check_json_structure(std::string_view text, int max_depth, std::string_view where);

namespace json_detail {

template <typename T>
inline constexpr bool is_list = false;
template <typename T>
inline constexpr bool is_list<std::vector<T>> = true;

/// Whether the value means the same as a T: the library itself would cut 2.7 to 2 and wrap around what is too
/// large.
template <typename T>
bool fits(const Json& value) {
  if constexpr (is_list<T>) {
    if (!value.is_array()) return false;
    for (const Json& item : value)
      if (!fits<typename T::value_type>(item)) return false;
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if (value.is_number_unsigned()) return std::in_range<T>(value.get<std::uint64_t>());
    if (value.is_number_integer()) return std::in_range<T>(value.get<std::int64_t>());
    if (!value.is_number_float()) return false;
    // 1e6 and 32768.0 are whole numbers, too, as far as a double tells them apart.
    const auto number = value.get<double>();
    return std::abs(number) <= 0x1p53 && std::trunc(number) == number &&
           std::in_range<T>(static_cast<std::int64_t>(number));
  }
  return true;
}

}  // namespace json_detail

/// The value at `key` of an object, converted without loss; errors name `where`, the key, and what was found.
template <typename T>
T json_get(const Json& object, const char* key, std::string_view where) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  require(object.is_object() && found != object.end(), "{}: \"{}\" is missing", where, key);
  try {
    if (json_detail::fits<T>(*found)) return found->template get<T>();
  } catch (const Json::exception&) {
    // told below
  }
  fail("{}: \"{}\" has an unexpected value: {}", where, key, found->dump().substr(0, 80));
}

/// The same with a fallback for an absent or null value.
template <typename T>
T json_get_or(const Json& object, const char* key, T fallback, std::string_view where) {
  if (!object.is_object() || !object.contains(key) || object[key].is_null()) return fallback;
  return json_get<T>(object, key, where);
}

}  // namespace ranktune
