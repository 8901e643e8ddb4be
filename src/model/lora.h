#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "model/lora_options.h"

namespace ranktune {

/// The options with "auto" and "all-linear" replaced by the names they stand for in this model. "auto" of
/// trainable_token_indices are the embedding and, where it has a weight of its own, the head.
LoraOptions resolve_targets(Decoder& decoder, LoraOptions options);
/// Throws where a target of resolved options names nothing that can be adapted, naming the modules there are,
/// or a module that PEFT would adapt and this program cannot. (PEFT's own adapters may name more than a model
/// has.)
void check_targets(Decoder& decoder, const LoraOptions& options);

/// Puts a fresh adapter on the targeted linears: A by new_lora_a, B zero, DoRA's magnitude the row lengths of
/// W; fp32, drawn from `seed` and the module's name, so equal on all ranks. PiSSA's values come afterwards,
/// by find_principal_parts. Then the modules and tokens that are trained beside (trained_modules.h). The
/// options must be resolved. Throws when they target nothing.
void add_lora(Decoder& decoder, const LoraOptions& options, std::uint64_t seed);

/// The adapter's parameters in the order of the linears: A, B, magnitude; behind them those of
/// trained_module_parameters. Names as PEFT saves them: "base_model.model.MODULE.lora_A.weight" [r,in],
/// "...lora_B.weight" [out,r], "...lora_magnitude_vector" [out].
ParameterList lora_parameters(Decoder& decoder);

/// Is it computed with in fp32, whatever the compute type? A magnitude is: it is near the row lengths, and a
/// narrow type would round small changes of it away.
bool stays_fp32(const Parameter& parameter);
/// The adapter's parameters in the type they are computed in.
void use_compute_dtype(Decoder& decoder);

/// Adds every adapter into its linear's weight, in fp32 and rounded once to the weight's dtype, puts trained
/// modules and tokens in the place of the base's, and removes the adapter.
void merge_lora(Decoder& decoder);

}  // namespace ranktune
