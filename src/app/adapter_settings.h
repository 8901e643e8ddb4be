#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "config/run_config.h"
#include "model/decoder.h"
#include "model/lora_options.h"
#include "text/tokenizer.h"

namespace ranktune {

/// Names of configuration keys that the user has set.
using GivenKeys = std::set<std::string, std::less<>>;

/// The ids of the tokens that lora.trainable_tokens and lora.trainable_token_indices name, ascending. Throws
/// where a text is not one token.
std::vector<std::int64_t> trainable_token_ids(const LoraConfig& config, const Tokenizer& tokenizer);

/// The settings of a new adapter, still to be resolved (resolve_targets). `tokens`: from trainable_token_ids.
/// Throws for expressions and starts that are none.
LoraOptions lora_options(const LoraConfig& config, const std::vector<std::int64_t>& tokens);

/// For an adapter that is on the decoder and trained on: its own settings count. Throws where a key among
/// `given` says otherwise (`wanted`: resolved). The dropout, a matter of training alone, is the
/// configuration's where that gives one.
void require_same_settings(Decoder& decoder, const GivenKeys& given, const LoraOptions& wanted,
                           LoraOptions& adapter);

}  // namespace ranktune
