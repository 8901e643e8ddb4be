#include "text/byte_alphabet.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "text/unicode.h"

namespace ranktune {

namespace {

constexpr std::size_t kSymbols = 0x144;  // one above the largest code point used

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD && byte <= 0xFF);
}

constexpr std::array<std::uint16_t, 256> kCodeOfByte = [] {
  std::array<std::uint16_t, 256> codes{};
  std::uint16_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte)
    codes[byte] = stands_for_itself(byte) ? static_cast<std::uint16_t>(byte) : next++;
  return codes;
}();

constexpr std::array<std::int16_t, kSymbols> kByteOfCode = [] {
  std::array<std::int16_t, kSymbols> bytes{};
  for (std::int16_t& byte : bytes) byte = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[kCodeOfByte[byte]] = static_cast<std::int16_t>(byte);
  return bytes;
}();

}  // namespace

std::string byte_symbol(unsigned char byte) {
  const std::uint16_t code = kCodeOfByte[byte];
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

std::optional<std::string> bytes_of_symbols(std::string_view token) {
  if (!is_valid_utf8(token)) return std::nullopt;
  std::string bytes;
  bytes.reserve(token.size());
  for (std::size_t at = 0; at < token.size();) {
    const CodePoint c = code_point_at(token, at);
    if (c.value >= kSymbols || kByteOfCode[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(kByteOfCode[c.value]);
    at += c.bytes;
  }
  return bytes;
}

}  // namespace ranktune
