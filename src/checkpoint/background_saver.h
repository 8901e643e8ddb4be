#pragma once

#include <memory>
#include <optional>

#include "checkpoint/save.h"
#include "comm/activity.h"
#include "comm/communicator.h"

namespace ranktune {

/// Saves checkpoints beside the training. start() hands a snapshot to this rank's writer thread, which runs
/// save_checkpoint() with the writer threads of the other ranks on a communicator of their own; the steps go
/// on meanwhile. At most one save is in flight, so at most one snapshot is in memory: whoever wants the next
/// one calls finish() first, and waits there where the disk is slower than the training.
///
/// All ranks make the same calls of start() in the same order. An error of the communicator (not of the disk:
/// that is a SaveResult) reaches the next poll() or finish(). One thread calls these functions.
class BackgroundSaver {
 public:
  struct Setup {
    SaveSetup save;
    std::unique_ptr<Communicator> communicator;  ///< the writers' own
    const Activity* network = nullptr;           ///< in which that communicator marks its waits; may be null
    Activity* activity = nullptr;                ///< of the calling thread, for the watchdog; may be null
  };
  explicit BackgroundSaver(Setup setup);
  BackgroundSaver(const BackgroundSaver&) = delete;
  BackgroundSaver& operator=(const BackgroundSaver&) = delete;
  /// Brings a save in flight to its end: the writers of all ranks do that by themselves, also where their
  /// main threads end with an error.
  ~BackgroundSaver();

  const SaveSetup& setup() const;

  /// Throws where a save is in flight.
  void start(CheckpointSnapshot snapshot);
  /// The result of the last save where it has ended since it was last asked for. Ranks may see it at
  /// different times.
  std::optional<SaveResult> poll();
  /// The same after waiting for a save in flight: all ranks that call it at the same place get the same.
  std::optional<SaveResult> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ranktune
