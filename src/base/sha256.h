#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace ranktune {

/// SHA-256 (FIPS 180-4) as lower-case hex, for comparing with hashes that other software made.
std::string sha256_hex(std::span<const std::byte> bytes);

inline std::string sha256_hex(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace ranktune
