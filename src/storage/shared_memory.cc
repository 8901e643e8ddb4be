#include "storage/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/numeric.h"

namespace ranktune {
namespace {

/// Bytes that may still be taken without driving the machine out of memory, or the largest number where the
/// system does not say. Filling more would have some process killed instead of giving an error.
std::uint64_t available_memory() {
  std::ifstream table("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kilobytes = 0;
  while (table >> key >> kilobytes && std::getline(table, unit))
    if (key == "MemAvailable:") return kilobytes * 1024;
  return ~std::uint64_t{0};
}

struct stat status_of(int descriptor, const std::string& what) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail("cannot examine the shared copy of {}{}", what, errno_text());
  return status;
}

}  // namespace

SharedMemory::SharedMemory(int descriptor, std::uint64_t size, bool maker, const std::string& what)
    : descriptor_(descriptor), size_(size), maker_(maker) {
  if (size_ == 0) return;  // mmap refuses an empty range
  void* mapped =
      ::mmap(nullptr, size_, maker ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor_, 0);
  if (mapped == MAP_FAILED) {
    const std::string reason = errno_text();
    ::close(descriptor_);
    fail("cannot map the shared copy of {} ({} bytes){}", what, size_, reason);
  }
  data_ = static_cast<std::byte*>(mapped);
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
  ::close(descriptor_);
}

std::shared_ptr<SharedMemory> SharedMemory::create(std::uint64_t size, const std::string& what) {
  const std::uint64_t available = available_memory();
  require(size <= available,
          "{} needs {:.2f} GB for the copy that the ranks of a machine share, but {:.2f} GB are available; "
          "model.read = \"all\" needs no copy",
          what, static_cast<double>(size) / 1e9, static_cast<double>(available) / 1e9);
  const int descriptor = ::memfd_create("ranktune", MFD_CLOEXEC);
  if (descriptor < 0) fail("cannot make shared memory for {}{}", what, errno_text());
  if (::ftruncate(descriptor, narrow<off_t>(size)) != 0) {
    const std::string reason = errno_text();
    ::close(descriptor);
    fail("cannot make {} bytes of shared memory for {}{}", size, what, reason);
  }
  return std::shared_ptr<SharedMemory>(new SharedMemory(descriptor, size, true, what));
}

std::shared_ptr<SharedMemory> SharedMemory::attach(const SharedMemoryAddress& address,
                                                   const std::string& what) {
  const std::string place = fmt::format("/proc/{}/fd/{}", address.process, address.descriptor);
  const int descriptor = ::open(place.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    fail(
        "cannot open the copy of {} that another rank of this machine holds ({}){}; the ranks of a machine "
        "must be able to see each other's processes; else set model.read = \"all\"",
        what, place, errno_text());
  const struct stat status = status_of(descriptor, what);
  if (static_cast<std::int64_t>(status.st_ino) != address.inode || status.st_size != address.size) {
    ::close(descriptor);
    fail(
        "{} is not the copy of {} that another rank of this machine holds; the ranks of a machine must "
        "see the same processes (one container for all of them); else set model.read = \"all\"",
        place, what);
  }
  return std::shared_ptr<SharedMemory>(
      new SharedMemory(descriptor, static_cast<std::uint64_t>(address.size), false, what));
}

std::span<std::byte> SharedMemory::writable() noexcept {
  return maker_ ? std::span<std::byte>(data_, size_) : std::span<std::byte>();
}

SharedMemoryAddress SharedMemory::address() const {
  const struct stat status = status_of(descriptor_, "a file");
  return {.process = ::getpid(),
          .descriptor = descriptor_,
          .inode = static_cast<std::int64_t>(status.st_ino),
          .size = static_cast<std::int64_t>(size_)};
}

}  // namespace ranktune
