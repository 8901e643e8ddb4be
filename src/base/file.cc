#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"

namespace ranktune {
namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const Path& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC)) {
    if (value_ < 0) fail("cannot open {}{}", path.string(), errno_text());
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const noexcept { return value_; }
  int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_;
};

std::uint64_t regular_file_size(const Descriptor& file, const Path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail("cannot read {}{}", path.string(), errno_text());
  require(S_ISREG(status.st_mode), "{} is not a regular file", path.string());
  return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace

std::string read_file(const Path& path, std::uint64_t max_bytes) {
  const Descriptor file(path, O_RDONLY);
  const std::uint64_t size = regular_file_size(file, path);
  require(size <= max_bytes, "{} holds {} bytes, more than the {} a file of this kind may have",
          path.string(), size, max_bytes);
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(file.get(), text.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read {}{}", path.string(), errno_text());
    require(got > 0, "{} shrank to {} of {} bytes while it was read", path.string(), done, size);
    done += static_cast<std::size_t>(got);
  }
  return text;
}

MappedFile::MappedFile(const Path& path) {
  const Descriptor file(path, O_RDONLY);
  size_ = regular_file_size(file, path);
  if (size_ == 0) return;  // mmap refuses an empty range
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) fail("cannot map {} ({} bytes){}", path.string(), size_, errno_text());
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

PieceReader::PieceReader(const Path& path) : path_(path) {
  Descriptor file(path, O_RDONLY);
  size_ = regular_file_size(file, path);
  descriptor_ = file.release();
}

PieceReader::~PieceReader() { ::close(descriptor_); }

void PieceReader::read(std::uint64_t offset, std::span<std::byte> piece) const {
  // Advice only: where it is not taken, reading is as slow as before.
  static_cast<void>(::posix_fadvise(descriptor_, static_cast<off_t>(offset + piece.size()),
                                    static_cast<off_t>(piece.size()), POSIX_FADV_WILLNEED));
  for (std::size_t done = 0; done < piece.size();) {
    const ssize_t got =
        ::pread(descriptor_, piece.data() + done, piece.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read {} at byte {}{}", path_.string(), offset + done, errno_text());
    require(got > 0, "{} ends at byte {}, but {} were there when it was opened; was it changed meanwhile?",
            path_.string(), offset + done, size_);
    done += static_cast<std::size_t>(got);
  }
}

AtomicFile::AtomicFile(const Path& path) : path_(path), temporary_(path) {
  temporary_ += ".XXXXXX";
  std::string name = temporary_.string();
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail("cannot write {}{}", path_.string(), errno_text());
  temporary_ = name;
  ::fchmod(descriptor_, 0644);  // mkostemp makes 0600, which hides results from colleagues
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("cannot write {}{}", path_.string(), errno_text());
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    size_ += static_cast<std::uint64_t>(put);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("cannot write {}{}", path_.string(), errno_text());
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    fail("cannot rename {} to {}{}", temporary_.string(), path_.string(), errno_text());
  ::close(std::exchange(descriptor_, -1));
  sync_folder(path_.has_parent_path() ? path_.parent_path() : Path("."));
}

void write_file(const Path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void sync_folder(const Path& folder) {
  const Descriptor opened(folder, O_RDONLY | O_DIRECTORY);
  if (::fsync(opened.get()) != 0 && errno != EINVAL)  // some network filesystems refuse it for folders
    fail("cannot sync folder {}{}", folder.string(), errno_text());
}

void make_folders(const Path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  require(!error, "cannot make folder {}: {}", folder.string(), error.message());
}

bool exchange_folders(const Path& first, const Path& second) {
  if (::renameat2(AT_FDCWD, first.c_str(), AT_FDCWD, second.c_str(), RENAME_EXCHANGE) == 0) return true;
  const bool cannot = errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
  if (!cannot) fail("cannot exchange {} with {}{}", first.string(), second.string(), errno_text());
  return false;
}

void replace_folder(const Path& from, const Path& to) {
  const Path parent = to.has_parent_path() ? to.parent_path() : Path(".");
  Path aside = to;
  aside += ".old";
  std::filesystem::remove_all(aside);
  const bool existed = std::filesystem::exists(to);
  // An exchange leaves a whole folder under the name at any moment.
  if (existed && exchange_folders(from, to)) {
    sync_folder(parent);
    std::filesystem::remove_all(from);
    return;
  }
  if (existed && ::rename(to.c_str(), aside.c_str()) != 0)
    fail("cannot move {} aside{}", to.string(), errno_text());
  if (::rename(from.c_str(), to.c_str()) != 0) {
    const std::string reason = errno_text();
    if (existed) static_cast<void>(::rename(aside.c_str(), to.c_str()));
    fail("cannot rename {} to {}{}", from.string(), to.string(), reason);
  }
  sync_folder(parent);
  if (existed) std::filesystem::remove_all(aside);
}

std::uint64_t free_bytes(const Path& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0)
    fail("cannot ask for the free space of {}{}", path.string(), errno_text());
  return checked_mul(status.f_bavail, status.f_frsize);
}

}  // namespace ranktune
