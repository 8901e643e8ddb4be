#pragma once

#include <string>

#include "base/json.h"
#include "checkpoint/snapshot.h"

namespace ranktune {

/// Content of trainer.json: format, step, base_hash and layout (hash, names and shapes), then the trainer's
/// own keys. Throws where the trainer uses one of the former.
std::string trainer_text(const CheckpointSnapshot& snapshot, const CheckpointIdentity& identity);

/// Throws where a trainer.json is of another format, or was saved for other tensors or another base model
/// than `identity`; the message says what is there and what is here.
void check_trainer(const Json& trainer, const CheckpointIdentity& identity, const std::string& where);

}  // namespace ranktune
