#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ranktune {

/// Where another process of the same machine finds a SharedMemory; plain numbers, to be sent as bytes.
struct SharedMemoryAddress {
  std::int64_t process = 0;     ///< of its maker
  std::int64_t descriptor = 0;  ///< in the maker
  std::int64_t inode = 0;       ///< to recognise it
  std::int64_t size = 0;        ///< bytes
};

/// Memory of a machine that several processes map: written by its maker, read-only for those that attach. It
/// has no name in any folder, does not count against the size of /dev/shm, and is gone when the last process
/// that maps it has ended, however that came about.
class SharedMemory {
 public:
  /// `what` names the content in errors. Error when the machine has not got that much memory left.
  static std::shared_ptr<SharedMemory> create(std::uint64_t size, const std::string& what);
  /// Works while the maker lives and has not dropped it.
  static std::shared_ptr<SharedMemory> attach(const SharedMemoryAddress& address, const std::string& what);
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The maker's; empty for those that have attached it.
  std::span<std::byte> writable() noexcept;
  SharedMemoryAddress address() const;

 private:
  SharedMemory(int descriptor, std::uint64_t size, bool maker, const std::string& what);

  int descriptor_ = -1;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool maker_ = false;
};

}  // namespace ranktune
