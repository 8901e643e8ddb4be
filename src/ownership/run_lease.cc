#include "ownership/run_lease.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/awake_time.h"
#include "base/error.h"
#include "base/log.h"
#include "ownership/lease_file.h"

namespace ranktune {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

/// Opening a file, rather than asking for its status, makes network filesystems ask their server.
enum class Presence { kThere, kGone, kUncertain };
Presence look(const Path& file, timespec* modified = nullptr) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno == ENOENT || errno == ESTALE ? Presence::kGone : Presence::kUncertain;
  struct stat status {};
  const bool known = ::fstat(descriptor, &status) == 0;
  ::close(descriptor);
  if (!known) return errno == ESTALE ? Presence::kGone : Presence::kUncertain;
  if (modified != nullptr) *modified = status.st_mtim;
  return Presence::kThere;
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

void remove_quietly(const Path& file) { ::unlink(file.c_str()); }

/// What is known of the owner after watching it for a while.
class Watch {
 public:
  explicit Watch(const Path& file) : file_(file) {}

  void look_again() {
    timespec modified{};
    const Presence presence = look(file_, &modified);
    watched_.look();
    if (presence != Presence::kThere) return;
    if (modified_ && !same_time(*modified_, modified)) {
      renewed_ = true;
      last_renewal_ = watched();
    }
    modified_ = modified;
  }
  bool renewed() const { return renewed_; }
  double silence() const { return watched() - last_renewal_; }
  double watched() const { return watched_.seconds(); }

 private:
  Path file_;
  // A machine that stood still, or whose filesystem did, may not be the only one: a long gap between two
  // looks says little about the owner.
  AwakeTime watched_{std::chrono::seconds(1)};
  double last_renewal_ = 0;  ///< of watched()
  std::optional<timespec> modified_;
  bool renewed_ = false;
};

/// The lease in a file; nothing where it is gone or unreadable: then only its signs of life count.
std::optional<Lease> read_lease(const Path& file) {
  try {
    constexpr std::uint64_t kLargest = 1 << 16;
    return Lease::parse(read_file(file, kLargest), file.string());
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

class RunLease::Impl {
 public:
  explicit Impl(Setup setup)
      : setup_(std::move(setup)), folder_(setup_.run / kFolder), self_(this_process()) {}
  ~Impl();

  void take();
  void commit();
  void require_owner();

  std::int64_t attempt = 0;
  bool predecessor_may_run = false;

 private:
  enum class Judgement { kWait, kTake, kFence };

  Path file(LeaseName name) const { return folder_ / lease_name(name); }
  Path own_file() const { return file({.attempt = attempt}); }
  Presence look_for_own() const;
  void wait_for(const LeaseName& owner);
  Judgement judge(const Lease* lease, const Watch& watch) const;
  bool claim(std::int64_t number);
  bool link_claim(const Path& prepared, const Path& place) const;
  void remove_predecessors() const;
  void renew();
  void renew_for_ever();
  [[noreturn]] void lose();

  const Setup setup_;
  const Path folder_;
  const ProcessIdentity self_;
  std::string own_text_;  ///< of the lease: a folder removed and made anew may have another of this number
  bool made_folder_ = false, committed_ = false, warned_ = false;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false, lost_ = false;
  std::thread thread_;
};

void RunLease::Impl::take() {
  std::error_code error;
  made_folder_ = std::filesystem::create_directory(folder_, error);
  require(!error, "cannot make folder {}: {}", folder_.string(), error.message());
  for (;;) {
    const std::vector<LeaseName> leases = list_leases(folder_);
    predecessor_may_run = false;
    if (!leases.empty() && !leases.front().ended) wait_for(leases.front());
    if (claim(leases.empty() ? 1 : leases.front().attempt + 1)) break;
  }
  thread_ = std::thread([this] { renew_for_ever(); });
}

/// Returns when the run may be taken from this owner.
void RunLease::Impl::wait_for(const LeaseName& owner) {
  constexpr std::chrono::milliseconds kGlance{200};
  const Path place = file(owner);
  Watch watch(place);
  bool said = false;
  for (;;) {
    const auto lease = read_lease(place);
    watch.look_again();
    // It may have ended meanwhile, or somebody else has taken over: look at the folder again.
    if (look(place) == Presence::kGone) return;
    const Judgement judgement = judge(lease ? &*lease : nullptr, watch);
    predecessor_may_run = judgement == Judgement::kFence;
    if (judgement != Judgement::kWait) return;
    if (!said)
      log_info("{} is in use by {}; waiting for its end for up to {:.0f} s", setup_.run.string(),
               lease ? lease->description() : place.string(), setup_.timing.expiry);
    said = true;
    if (setup_.progress) setup_.progress();
    std::this_thread::sleep_for(kGlance);
  }
}

RunLease::Impl::Judgement RunLease::Impl::judge(const Lease* lease, const Watch& watch) const {
  if (lease != nullptr && liveness(lease->owner, self_) == Liveness::kDead) return Judgement::kTake;
  if (lease != nullptr && is_of_earlier_start(lease->owner, self_)) return Judgement::kFence;
  if (watch.silence() >= setup_.timing.expiry) return Judgement::kFence;
  if (!watch.renewed() || watch.watched() < setup_.timing.patience) return Judgement::kWait;
  const std::string owner = lease != nullptr ? lease->description() : "another start of it";
  const std::string stop = lease == nullptr ? std::string()
                           : !lease->owner.job.empty()
                               ? fmt::format(", end it (scancel {})", lease->owner.job)
                               : fmt::format(", end it (kill {} on {})", lease->owner.pid, lease->owner.host);
  fail("run.dir {} is in use by {}, which lives; wait for its end{}, or choose another run.dir",
       setup_.run.string(), owner, stop);
}

/// Whether this process has become the owner as attempt `number`.
bool RunLease::Impl::claim(std::int64_t number) {
  static std::atomic<int> claims = 0;
  const Path prepared = folder_ / fmt::format("{}{}-{}-{}", kClaimPrefix, self_.host, self_.pid, ++claims);
  attempt = number;
  own_text_ = Lease{.attempt = number, .owner = self_, .since = utc_now()}.text();
  write_file(prepared, own_text_);
  const bool won = link_claim(prepared, own_file());
  remove_quietly(prepared);
  if (!won) return false;
  // A slow starter may have got a number that was free again: the highest one counts.
  const std::vector<LeaseName> leases = list_leases(folder_);
  if (leases.empty() || leases.front().attempt != number) {
    remove_quietly(own_file());
    return false;
  }
  if (predecessor_may_run) remove_predecessors();
  return true;
}

bool RunLease::Impl::link_claim(const Path& prepared, const Path& place) const {
  if (::link(prepared.c_str(), place.c_str()) == 0) return true;
  const int reason = errno;
  struct stat status {};
  // An answer of NFS that was lost is repeated, and then says that the name exists.
  if (reason == EEXIST) return ::stat(prepared.c_str(), &status) == 0 && status.st_nlink == 2;
  if (reason == ENOENT) return false;  // another start has become the owner and tidied up: see commit()
  if (reason != EPERM && reason != EOPNOTSUPP && reason != ENOSYS && reason != EMLINK) {
    errno = reason;
    fail("cannot write {}{}", place.string(), errno_text());
  }
  // No hard links here. A file that is there for a moment without content is read as an unknown owner.
  const int descriptor = ::open(place.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0 && errno == EEXIST) return false;
  if (descriptor < 0) fail("cannot write {}{}", place.string(), errno_text());
  const bool written =
      ::write(descriptor, own_text_.data(), own_text_.size()) == static_cast<ssize_t>(own_text_.size());
  const std::string problem = written ? "" : errno_text();
  ::close(descriptor);
  require(written, "cannot write {}{}", place.string(), problem);
  return true;
}

void RunLease::Impl::remove_predecessors() const {
  for (const LeaseName& lease : list_leases(folder_))
    if (lease.attempt < attempt) remove_quietly(file(lease));
  sync_folder(folder_);
}

void RunLease::Impl::commit() {
  require_owner();
  committed_ = true;
  remove_predecessors();
  std::error_code ignored;  // of names that go by themselves
  for (std::filesystem::directory_iterator entry(folder_, ignored), end; entry != end;
       entry.increment(ignored))
    if (entry->path().filename().string().starts_with(kClaimPrefix)) remove_quietly(entry->path());
}

Presence RunLease::Impl::look_for_own() const {
  const Presence presence = look(own_file());
  if (presence != Presence::kThere) return presence;
  const auto lease = read_lease(own_file());
  return !lease || lease->text() == own_text_ ? presence : Presence::kGone;
}

/// The file is gone. Throws in any case; tells the process to end where somebody else has one.
void RunLease::Impl::lose() {
  const std::vector<LeaseName> leases = list_leases(folder_);
  require(!leases.empty() && leases.front().attempt >= attempt,
          "{} is gone, by which this run owns its folder: was something in run.dir removed?",
          own_file().string());
  const auto lease = read_lease(file(leases.front()));
  const std::string why = fmt::format(
      "run.dir {}: {} has taken over; attempt {} of process {} writes nothing more and ends (exit code {})",
      setup_.run.string(), lease ? lease->description() : fmt::format("attempt {}", leases.front().attempt),
      attempt, self_.pid, kExitFenced);
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(lost_, true)) throw Error(why);
  }
  if (setup_.lost) setup_.lost(attempt, why);
  throw Error(why);
}

void RunLease::Impl::require_owner() {
  switch (look_for_own()) {
    case Presence::kThere:
      return;
    case Presence::kGone:
      lose();
    case Presence::kUncertain:
      fail("cannot read {}{}", own_file().string(), errno_text());
  }
}

void RunLease::Impl::renew() {
  try {
    require_owner();
    if (::utimensat(AT_FDCWD, own_file().c_str(), nullptr, 0) != 0)
      fail("cannot touch {}{}", own_file().string(), errno_text());
  } catch (const Error& error) {
    const std::lock_guard lock(mutex_);
    if (lost_ || std::exchange(warned_, true)) return;
    log_warning("{}; another start of this run may take it for dead", error.what());
  }
}

void RunLease::Impl::renew_for_ever() {
  for (;;) {  // the claim itself was the first sign of life
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, std::chrono::duration<double>(setup_.timing.renewal),
                         [this] { return stopping_ || lost_; }))
        return;
    }
    renew();
  }
}

RunLease::Impl::~Impl() {
  if (!thread_.joinable()) {
    if (made_folder_) ::rmdir(folder_.c_str());
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (lost_ || look_for_own() != Presence::kThere) return;
  if (committed_ || predecessor_may_run) {
    // Fails where another attempt has taken over, and then changes nothing.
    static_cast<void>(::rename(own_file().c_str(), file({.attempt = attempt, .ended = true}).c_str()));
    return;
  }
  remove_quietly(own_file());
  if (made_folder_) ::rmdir(folder_.c_str());
}

std::unique_ptr<RunLease> RunLease::take(Setup setup) {
  auto impl = std::make_unique<Impl>(std::move(setup));
  impl->take();
  return std::unique_ptr<RunLease>(new RunLease(std::move(impl)));
}

RunLease::RunLease(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunLease::~RunLease() = default;
std::int64_t RunLease::attempt() const { return impl_->attempt; }
bool RunLease::predecessor_may_run() const { return impl_->predecessor_may_run; }
void RunLease::commit() { impl_->commit(); }
void RunLease::require_owner() { impl_->require_owner(); }

}  // namespace ranktune
