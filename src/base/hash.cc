#include "base/hash.h"

#include <fmt/core.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/file.h"

namespace ranktune {

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() { require(xxh != nullptr && XXH3_128bits_reset(xxh) == XXH_OK, "cannot start a hash"); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;

Hasher& Hasher::add(std::span<const std::byte> bytes) {
  require(XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size()) == XXH_OK, "cannot hash");
  return *this;
}

Hasher& Hasher::add(std::string_view text) { return add(std::as_bytes(std::span(text.data(), text.size()))); }

std::string Hasher::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string hash_hex(std::span<const std::byte> bytes) { return Hasher().add(bytes).hex(); }
std::string hash_hex(std::string_view text) { return Hasher().add(text).hex(); }
std::string hash_file(const std::string& path) { return hash_hex(MappedFile(path).bytes()); }

}  // namespace ranktune
