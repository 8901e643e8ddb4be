#pragma once

#include <string>

#include "base/json.h"
#include "checkpoint/manifest.h"
#include "checkpoint/snapshot.h"

namespace ranktune {

/// Content of trainer.json: format, step, base_hash and layout (hash, names and shapes), then the trainer's
/// own keys. Throws where the trainer uses one of the former.
std::string trainer_text(const CheckpointSnapshot& snapshot, const CheckpointIdentity& identity);

/// trainer.json of a checkpoint folder. Throws where its format is another one or its step not that of the
/// manifest.
Json read_trainer(const Path& folder, const Manifest& manifest);

/// The trained tensors that a trainer.json tells of. Errors name `where`.
FlatLayout saved_layout(const Json& trainer, const std::string& where);

/// Throws where a trainer.json is of another format, or was saved for other tensors or another base model
/// than `identity`; the message says what is there and what is here.
void check_trainer(const Json& trainer, const CheckpointIdentity& identity, const std::string& where);

}  // namespace ranktune
