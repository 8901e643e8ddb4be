#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/dtype.h"
#include "storage/file_bytes.h"

namespace ranktune {

/// One tensor of a file: row-major, little-endian. `data` lies inside the file's bytes; it begins at a
/// multiple of the element size relative to the file's start only in well-made files, so read it with memcpy
/// or check.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  ///< empty: a scalar
  std::span<const std::byte> data;

  std::int64_t elements() const;
};

/// A safetensors file, checked as a whole when it is opened: header length, JSON, names given once, known
/// dtypes, each tensor's range equal to shape x element size, ranges inside the file, no overlaps, no holes,
/// no bytes left over. Format: https://github.com/huggingface/safetensors#format. Errors name the file and
/// the tensor.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const Path& path) { return SafetensorsFile(map_file(path), path.string()); }
  /// Over bytes that the caller keeps alive; `where` names them in errors.
  SafetensorsFile(std::span<const std::byte> bytes, std::string where)
      : SafetensorsFile(FileBytes{bytes, nullptr}, std::move(where)) {}
  SafetensorsFile(FileBytes bytes, std::string where);

  /// nullptr where the file has no such tensor.
  const TensorInfo* find(std::string_view name) const;
  /// Error that names the nearest tensor where there is none of that name.
  const TensorInfo& get(std::string_view name) const;
  /// In the order of their bytes.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& where() const { return where_; }
  /// The whole file, header included.
  std::span<const std::byte> bytes() const { return file_.bytes; }

 private:
  void parse();

  FileBytes file_;
  std::string where_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;  ///< name -> place in tensors_
  std::map<std::string, std::string> metadata_;
};

/// "[2, 3]" for messages.
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace ranktune
