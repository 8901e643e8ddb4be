#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ranktune {

inline constexpr std::uint32_t kCodePoints = 0x110000;

/// What the pre-tokenisers ask of a character; bits of one byte.
enum CharClass : std::uint8_t {
  kLetter = 1,       ///< \p{L}
  kNumber = 2,       ///< \p{N}
  kSpace = 4,        ///< \s: White_Space
  kNewline = 8,      ///< \r or \n (a kSpace, too)
  kNfcCareful = 16,  ///< may change, or change its neighbour, under NFC
  kLoneDigit = 32,   ///< cut off by the Digits pre-tokeniser: \p{N} of Unicode 17
};

/// CharClass bits of every code point; built once, then read-only.
const std::uint8_t* char_classes();

/// One decoded character: its code point and how many bytes it takes (1 to 4).
struct CodePoint {
  std::uint32_t value;
  std::uint32_t bytes;
};

/// The character at text[at]; `text` must be valid UTF-8 and `at` the begin of a character in it.
inline CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i]));
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0xF) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x7) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

/// Number of bytes of the valid UTF-8 character that `bytes` begins with; 0 where there is none. `unfinished`
/// (if asked for) says that bytes to come could still make it one.
std::size_t valid_character(std::string_view bytes, bool* unfinished = nullptr);

bool is_valid_utf8(std::string_view text);

/// Every maximal damaged stretch becomes one U+FFFD, as the Unicode standard recommends.
std::string replace_invalid_utf8(std::string_view text);

/// Appends the canonical composition of valid UTF-8. `marks` are ascending positions in `text`; each is
/// replaced by its position in `out` (one inside a sequence that was composed moves to the sequence's end).
void append_nfc(std::string_view text, std::string& out, std::vector<std::size_t>* marks = nullptr);

}  // namespace ranktune
