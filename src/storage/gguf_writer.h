#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/dequantize.h"
#include "storage/file_bytes.h"

namespace ranktune {

/// The metadata of a GGUF file, in the order of the calls. A key that is given twice is an Error.
class GgufMetadata {
 public:
  void add_u32(std::string_view key, std::uint32_t value);
  void add_f32(std::string_view key, float value);
  void add_flag(std::string_view key, bool value);
  void add_text(std::string_view key, std::string_view value);
  void add_texts(std::string_view key, std::span<const std::string> values);
  void add_i32s(std::string_view key, std::span<const std::int32_t> values);

  std::uint64_t count() const { return keys_.size(); }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(std::string_view key, std::uint32_t type);

  std::set<std::string, std::less<>> keys_;
  std::string bytes_;
};

/// A tensor to be written; `shape` row-major, rows of whole blocks of the type.
struct GgufSpec {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<std::int64_t> shape;

  std::uint64_t bytes() const;
};

/// Writes one GGUF file of version 3 that appears under its name only when whole (AtomicFile). The same
/// metadata, specs and data give the same bytes.
class GgufWriter {
 public:
  GgufWriter(const Path& path, const GgufMetadata& metadata, std::vector<GgufSpec> tensors);

  /// The next bytes of tensor `name`, in one call or many; tensors follow each other in the order of the
  /// specs.
  void append(std::string_view name, std::span<const std::byte> bytes);
  /// Syncs and renames; Error where bytes of a tensor are missing.
  void commit();

 private:
  std::string path_;
  std::vector<GgufSpec> tensors_;
  AtomicFile file_;
  std::size_t current_ = 0;    ///< tensor that the next bytes belong to
  std::uint64_t written_ = 0;  ///< bytes of it so far
};

/// Bytes that such a file will have.
std::uint64_t gguf_file_bytes(const GgufMetadata& metadata, const std::vector<GgufSpec>& tensors);

}  // namespace ranktune
