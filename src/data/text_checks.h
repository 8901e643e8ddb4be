#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ranktune {

/// Looks at texts that may hide a defect. `text` is UTF-8.

/// The code point that begins at `position`, which moves behind it.
std::uint32_t next_code_point(std::string_view text, std::size_t& position);
std::int64_t count_code_points(std::string_view text);
/// The byte where code point number `index` begins; text.size() when there are fewer.
std::size_t code_point_offset(std::string_view text, std::int64_t index);

bool is_han(std::uint32_t c);
/// Nothing but white space, full-width and zero-width ones included.
bool is_blank_text(std::string_view text);
/// Control characters other than tab and line ends, zero-width spaces, direction marks, byte-order marks,
/// U+FFFD.
bool has_control_characters(std::string_view text);
/// Tags of running text (<br>, </p>, <div ...) or character entities (&nbsp;).
bool has_html_remains(std::string_view text);
/// A prose answer (40 characters or more, with at least one full stop) whose last character is a letter or a
/// comma.
bool looks_unfinished(std::string_view text);

}  // namespace ranktune
