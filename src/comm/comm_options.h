#pragma once

namespace ranktune {

/// Communication between ranks: the [comm] table of the configuration.
struct CommOptions {
  /// Seconds after which a silent rank, or one that others wait for, ends the job. Range 1 to 86400.
  double timeout = 600;
  /// Seconds between two signs of life of a rank. Range 0.05 to timeout / 4.
  double heartbeat = 1;
  /// Allows several ranks to use one GPU; they then exchange data through host memory, since NCCL refuses it.
  bool share_gpu = false;
  /// Ranks of a machine that count as one node when weights are shared; 0: all of them. Tests make it small,
  /// to have several nodes on one machine.
  int ranks_per_node = 0;
};

inline constexpr double kMinCommTimeout = 1;
inline constexpr double kMaxCommTimeout = 86400;
inline constexpr double kMinCommHeartbeat = 0.05;

/// Throws Error naming the option, its value and its range.
void check_comm_options(const CommOptions& options);

}  // namespace ranktune
