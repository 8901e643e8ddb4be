#include "train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace ranktune {
namespace {

/// The lines of steps before `first_step`. A last line cut off by a crash is dropped as well.
std::string kept_lines(const std::string& text, std::int64_t first_step) {
  std::string kept;
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != text.npos; begin = end + 1, end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end - begin);
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.contains("step") && record["step"].is_number_integer() &&
        record["step"].get<std::int64_t>() < first_step)
      kept += line + "\n";
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(const Path& file, std::int64_t first_step, std::function<void()> allowed)
    : path_(file), allowed_(std::move(allowed)) {
  open(first_step);
}

void MetricsLog::open(std::int64_t first_step) {
  if (std::filesystem::exists(path_)) {
    AtomicFile kept(path_);
    kept.write(kept_lines(read_file(path_), first_step));
    if (allowed_) allowed_();
    kept.commit();
  }
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("cannot write {}{}", path_.string(), errno_text());
}

void MetricsLog::rewind(std::int64_t first_step) {
  ::close(std::exchange(descriptor_, -1));
  pending_ = kept_lines(pending_, first_step);
  open(first_step);
}

MetricsLog::~MetricsLog() { ::close(descriptor_); }

void MetricsLog::sync() const {
  if (::fdatasync(descriptor_) != 0)
    log_warning("{} may lose its last lines in a power cut{}", path_.string(), errno_text());
}

void MetricsLog::write(const OrderedJson& record) {
  const bool warned = !pending_.empty();
  pending_ += record.dump() + "\n";
  const ssize_t written = ::write(descriptor_, pending_.data(), pending_.size());
  if (written > 0) pending_.erase(0, static_cast<std::size_t>(written));
  if (pending_.empty() || warned) return;
  log_warning("{} cannot be written{}; training goes on, and its lines wait", path_.string(),
              written < 0 ? errno_text() : ": no room");
}

}  // namespace ranktune
