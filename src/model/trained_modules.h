#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/decoder.h"
#include "model/lora_options.h"

namespace ranktune {

/// What an adapter trains beside LoRA, as PEFT means it, each beginning at the base's values in fp32:
/// - modules_to_save: whole modules whose names end in one of the texts given ("norm" is every norm's end).
///   Where the model ties head and embedding, one of the two that is named is parted from the other, or with
///   ensure_weight_tying both are the same trained matrix.
/// - trainable_token_indices: rows of the embedding or the head. A tied head follows the embedding, unless it
///   is given other tokens.
/// Throws where a module would be trained in two ways, or an id lies outside the vocabulary.
void add_trained_modules(Decoder& decoder, const LoraOptions& options);

/// Is that weight of the decoder one of those which modules_to_save trains?
bool is_trained_whole(Decoder& decoder, const LoraOptions& options, const Parameter& weight);

/// Throws where a text of modules_to_save is the end of no module's name. (PEFT's own adapters may name more
/// than a model has.)
void check_trained_modules(Decoder& decoder, const LoraOptions& options);

/// Their parameters: replaced weights in the decoder's order, "base_model.model.MODULE.weight", and rows
/// [n,C], "base_model.model.MODULE.token_adapter.trainable_tokens_delta".
ParameterList trained_module_parameters(Decoder& decoder);

/// Names under which PEFT stores a parameter once more, each with the parameter's own name: a head that is
/// tied to a replaced embedding.
std::vector<std::pair<std::string, std::string>> stored_again(Decoder& decoder);

/// Puts them in the place of the base's weights, rounded once to their dtype.
void merge_trained_modules(Decoder& decoder);

}  // namespace ranktune
