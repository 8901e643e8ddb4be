#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/file.h"
#include "base/json.h"

namespace ranktune {

/// run.dir/metrics.jsonl and consumed.jsonl: one JSON object a line, written by rank 0 as it happens.
class MetricsLog {
 public:
  /// Opens for appending; lines of a step >= `first_step` (of a run that went on after the checkpoint now
  /// resumed) are removed first, so that every step stands in the file once. `allowed`, where given, is
  /// called before that takes effect, and may throw.
  MetricsLog(const Path& file, std::int64_t first_step, std::function<void()> allowed = {});
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  ~MetricsLog();

  /// The run goes back: lines of a step >= `first_step` are removed.
  void rewind(std::int64_t first_step);

  /// `record` has a "step". Lines that cannot be written are a warning, as training is worth more than its
  /// log, and are written with the next one that can be.
  void write(const OrderedJson& record);

  /// What has been written is on disk when this returns: a checkpoint must not outlive the lines of its
  /// steps. May be called beside write(), from another thread. A failure is a warning.
  void sync() const;

 private:
  void open(std::int64_t first_step);

  Path path_;
  std::function<void()> allowed_;
  int descriptor_ = -1;
  std::string pending_;  ///< lines, and the end of a line, that are not in the file yet
};

}  // namespace ranktune
