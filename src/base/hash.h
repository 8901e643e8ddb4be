#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ranktune {

/// Streaming XXH3-128: for recognising content and finding damage, not against forgery.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher& add(std::span<const std::byte> bytes);
  Hasher& add(std::string_view text);
  /// 32 lower-case hex digits (canonical byte order); may be asked at any time.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hash_hex(std::span<const std::byte> bytes);
std::string hash_hex(std::string_view text);
std::string hash_file(const std::string& path);

}  // namespace ranktune
