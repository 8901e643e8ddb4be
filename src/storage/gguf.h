#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "storage/dequantize.h"
#include "storage/file_bytes.h"

namespace ranktune {

/// A metadata value. Strings lie inside the file's bytes. Signed and unsigned integers of all widths are
/// widened; fp32 is kept apart from fp64, so that 1e-5 can be printed as it was meant.
struct GgufValue {
  using Array = std::vector<GgufValue>;
  std::variant<bool, std::int64_t, std::uint64_t, float, double, std::string_view, Array> value;
};

/// A tensor as stored: ggml's order of dimensions is reversed here into row-major (rows first), `data` holds
/// its quantised blocks row by row.
struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;

  std::int64_t row_elements() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const;
};

/// A GGUF file of version 2 or 3, little-endian, checked as a whole when opened: counts against the bytes
/// there are, keys and tensor names given once, known types, alignment, ranges inside the file and apart from
/// each other. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Errors name the file and
/// the key or tensor.
class GgufFile {
 public:
  static GgufFile open(const Path& path) { return GgufFile(map_file(path), path.string()); }
  GgufFile(FileBytes bytes, std::string where);

  std::uint32_t version() const { return version_; }
  const std::string& where() const { return where_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;
  const GgufTensor& get_tensor(std::string_view name) const;  ///< error where it is absent
  const std::map<std::string, GgufValue, std::less<>>& values() const { return values_; }
  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// Error where the key is absent or of another kind.
  std::int64_t get_int(std::string_view key) const;
  double get_number(std::string_view key) const;  ///< fp32 values as the shortest decimal that means them
  bool get_bool(std::string_view key) const;
  std::string_view get_string(std::string_view key) const;
  std::vector<std::string_view> get_strings(std::string_view key) const;
  std::vector<std::int64_t> get_ints(std::string_view key) const;

 private:
  const GgufValue& require_value(std::string_view key) const;

  FileBytes file_;
  std::string where_;
  std::uint32_t version_ = 0;
  std::map<std::string, GgufValue, std::less<>> values_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> tensor_index_;
};

}  // namespace ranktune
