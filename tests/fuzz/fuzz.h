#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_dir.h"

/// What the fuzz targets share. A target defines this function; libFuzzer or replay.cc calls it with one
/// input after the other. A finding is anything but a return: a sanitizer's report, a failed demand, another
/// exception than ranktune::Error, too much memory, too long a run.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace ranktune::fuzz {

/// A property that must hold whatever the input.
inline void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "demand failed: %s\n", what);
  std::abort();
}

/// Runs `action`, which may refuse its input with an Error. Returns whether it ran to its end.
template <typename Action>
bool may_refuse(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    demand(error.what()[0] != '\0', "an Error has a message");
    return false;
  }
  return true;
}

/// The bytes of one input, taken off the front.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  /// A number from 0 to 7, such that a seed file can begin with it as a digit; 0 at the end of the input.
  unsigned choice() { return take<std::uint8_t>() & 7u; }
  /// Zeros stand for what is missing at the end of the input.
  template <typename T>
  T take() {
    T value{};
    const std::size_t bytes = rest_.size() < sizeof value ? rest_.size() : sizeof value;
    if (bytes > 0) std::memcpy(&value, rest_.data(), bytes);
    rest_.remove_prefix(bytes);
    return value;
  }
  /// Up to `separator` or the end; the separator is passed over.
  std::string_view take_until(char separator) {
    const std::size_t end = rest_.find(separator);
    const std::string_view taken = rest_.substr(0, end);
    rest_.remove_prefix(end == rest_.npos ? rest_.size() : end + 1);
    return taken;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// A folder of this process for inputs that are read from files. TMPDIR=/dev/shm keeps it in memory.
inline const TempDir& scratch() {
  static const TempDir folder;
  return folder;
}

/// (Re)writes scratch()/name: as a new file, because some filesystems flush one that is written over.
inline Path put(const std::string& name, std::string_view bytes) {
  const Path path = scratch() / name;
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

}  // namespace ranktune::fuzz
