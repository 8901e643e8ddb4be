#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "storage/safetensors.h"

namespace ranktune {

/// A file's bytes out of a string, kept alive with them.
inline FileBytes bytes_of_text(std::string text) {
  auto kept = std::make_shared<const std::string>(std::move(text));
  return {std::as_bytes(std::span(kept->data(), kept->size())), kept};
}

/// A safetensors file made by hand: length, header, data.
inline std::string safetensors_text(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string text(sizeof length, '\0');
  std::memcpy(text.data(), &length, sizeof length);
  return text.append(header).append(data_bytes, '\x01');
}

inline SafetensorsFile open_text(std::string text) {
  return SafetensorsFile(bytes_of_text(std::move(text)), "some.safetensors");
}

/// A tensor's bytes as numbers.
template <typename T>
std::vector<T> values_of(const TensorInfo& tensor) {
  require(tensor.data.size() % sizeof(T) == 0, "{} bytes", tensor.data.size());
  std::vector<T> values(tensor.data.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

inline Path test_file(const std::string& name) { return Path(RANKTUNE_TEST_DATA) / "storage" / name; }

}  // namespace ranktune
