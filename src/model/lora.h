#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "model/lora_options.h"

namespace ranktune {

/// Does PEFT's LoraConfig.target_modules = `targets` mean the module `name`
/// ("model.layers.0.self_attn.q_proj")? A target hits the module it names in full or whose last parts it
/// names; "all-linear" hits every linear but the head.
bool is_target(const std::string& name, const std::vector<std::string>& targets);

/// Puts a fresh adapter on the targeted linears: A uniform in +-1/sqrt(in) (PEFT's kaiming_uniform with a =
/// sqrt(5)), B zero; fp32, drawn from `seed` and the module's name, so equal on all ranks. Throws when a
/// target hits nothing, naming the modules there are.
void add_lora(Decoder& decoder, const LoraOptions& options, std::uint64_t seed);

/// The adapter's parameters in the order of the linears, A before B. Names as PEFT saves them:
/// "base_model.model.MODULE.lora_A.weight" [r,in], "...lora_B.weight" [out,r].
ParameterList lora_parameters(Decoder& decoder);

}  // namespace ranktune
