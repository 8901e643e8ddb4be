#pragma once

#include <optional>
#include <span>
#include <string>

#include "comm/activity.h"

namespace ranktune {

/// What is known of one rank. Times are seconds.
struct RankState {
  ActivityReport activity;  ///< as it last said
  double silent = 0;        ///< since it was last heard of
  bool finished = false;    ///< it has taken its leave: neither waits nor is waited for
};

struct StallVerdict {
  int rank = 0;
  /// "has not answered for 63 s (last in phase forward, step 41)", to be put after "rank 2 on host n3".
  std::string finding;
};

/// The rank to blame when the job must end, if it must (Watchdog's rules). Of several candidates: the one
/// silent for longest, else the one without progress for longest. All ranks waiting for longer than the
/// limit: the one that began first (they wait for different things, or the network has lost a message).
std::optional<StallVerdict> find_stall(std::span<const RankState> ranks, double timeout);

}  // namespace ranktune
