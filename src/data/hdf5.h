#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/file.h"

namespace ranktune {

/// The library is not safe for concurrent calls in every build, so each call below holds one process-wide
/// lock. Its own printing of errors is off: its error stack goes into the message of the Error thrown.

enum class Hdf5Type { kInt32, kInt64, kUint8 };

/// Owner of one identifier (hid_t) of the library.
class Hdf5Handle {
 public:
  Hdf5Handle() = default;
  Hdf5Handle(std::int64_t id, int (*closer)(std::int64_t)) noexcept : id_(id), close_(closer) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept;
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept;
  ~Hdf5Handle() { reset(); }
  std::int64_t get() const noexcept { return id_; }
  void reset() noexcept;
  /// Closes and reports a negative result of the library.
  int close() noexcept;

 private:
  std::int64_t id_ = -1;
  int (*close_)(std::int64_t) = nullptr;
};

/// A dataset of shape [rows] or [rows, columns], chunked along rows.
class Hdf5Dataset {
 public:
  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t columns() const noexcept { return columns_; }
  /// Appends `rows` rows (rows * columns values of the dataset's type).
  void append(const void* values, std::int64_t rows);
  /// Reads rows [first, first + count) into `values`; the range must lie inside the dataset.
  void read(std::int64_t first, std::int64_t count, void* values) const;
  /// "FILE: dataset /tokens"
  const std::string& where() const noexcept { return where_; }

 private:
  friend class Hdf5File;
  Hdf5Handle handle_;
  Hdf5Type type_ = Hdf5Type::kUint8;
  std::int64_t rows_ = 0, columns_ = 1;
  std::string where_;
};

class Hdf5File {
 public:
  struct Layout {
    Hdf5Type type = Hdf5Type::kUint8;
    std::int64_t columns = 1;     ///< 1: the dataset has one dimension
    std::int64_t chunk_rows = 1;  ///< rows of one chunk
    int compression = 3;          ///< zlib level; 0 = none
  };

  static Hdf5File create(const Path& path);
  static Hdf5File open(const Path& path);
  static Hdf5File open_for_edit(const Path& path);

  Hdf5Dataset create_dataset(const char* name, const Layout& layout);
  /// Opens and checks type and number of columns. `cache_bytes`: memory for uncompressed chunks.
  Hdf5Dataset open_dataset(const char* name, Hdf5Type type, std::int64_t columns,
                           std::size_t cache_bytes) const;

  void write_attribute(const char* name, std::string_view text);
  void write_attribute(const char* name, std::int64_t value);
  bool has_attribute(const char* name) const;
  std::string read_string(const char* name, std::size_t max_bytes) const;
  std::int64_t read_int(const char* name) const;

  const Path& path() const noexcept { return path_; }
  /// Hands everything, open datasets included, to the system; throws where it refuses (full disk).
  void flush();
  /// Flushes and closes. Datasets must be gone.
  void close();

 private:
  Hdf5Handle handle_;
  Path path_;
};

}  // namespace ranktune
