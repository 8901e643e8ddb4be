#include "comm/comm_options.h"

#include "base/error.h"

namespace ranktune {

void check_comm_options(const CommOptions& options) {
  // Negated so that a NaN is refused too.
  require(!(options.timeout < kMinCommTimeout) && options.timeout <= kMaxCommTimeout,
          "comm.timeout = {} is out of range: {} to {} seconds", options.timeout, kMinCommTimeout,
          kMaxCommTimeout);
  require(!(options.heartbeat < kMinCommHeartbeat) && options.heartbeat <= options.timeout / 4,
          "comm.heartbeat = {} is out of range: {} seconds to a quarter of comm.timeout ({})",
          options.heartbeat, kMinCommHeartbeat, options.timeout / 4);
}

}  // namespace ranktune
