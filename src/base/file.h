#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ranktune {

using Path = std::filesystem::path;

/// The whole file as bytes; throws with the path and the system's reason. Refuses files above `max_bytes`.
std::string read_file(const Path& path, std::uint64_t max_bytes = std::uint64_t{1} << 31);

/// A file mapped read-only and shared: all processes of a machine use the same page-cache pages.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const Path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A file that is read piece by piece into the caller's memory.
class PieceReader {
 public:
  explicit PieceReader(const Path& path);
  PieceReader(const PieceReader&) = delete;
  PieceReader& operator=(const PieceReader&) = delete;
  ~PieceReader();

  std::uint64_t size() const noexcept { return size_; }
  /// Fills `piece` with the bytes from `offset` on, and lets the system fetch the following ones meanwhile;
  /// throws when the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> piece) const;

 private:
  Path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// A file that appears under its name only when whole: written beside it, fsynced, then renamed by commit().
/// Without commit() the temporary file is removed and an older file of that name stays as it was.
class AtomicFile {
 public:
  explicit AtomicFile(const Path& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  std::uint64_t size() const noexcept { return size_; }
  void commit();

 private:
  Path path_, temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// AtomicFile in one call.
void write_file(const Path& path, std::string_view text);

/// fsync on a folder, so that names made or removed in it survive a power cut.
void sync_folder(const Path& folder);

/// mkdir -p; throws with the path and the reason.
void make_folders(const Path& folder);

/// Gives each of two folders the other's name in one step. False where the filesystem cannot do it.
bool exchange_folders(const Path& first, const Path& second);

/// Gives the finished folder `from` the name `to` in one step; a folder that had it is moved aside first and
/// removed after. Both lie in the same parent, which is synced.
void replace_folder(const Path& from, const Path& to);

/// Bytes an unprivileged user may still write on the filesystem that holds `path`.
std::uint64_t free_bytes(const Path& path);

}  // namespace ranktune
