#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/lora_options.h"

namespace ranktune {

/// A selection as a configuration writes it: names, or one expression that begins with "re:".
ModuleSelection parse_selection(const std::vector<std::string>& items);

/// Does the selection name `module` ("model.layers.0.self_attn.q_proj")? A name does when it is the module's
/// whole name or its last parts, an expression when it matches the whole name. An expression that is none is
/// an Error.
bool is_selected(const ModuleSelection& selection, const std::string& module);

/// Does a PEFT LoraConfig of these options put an adapter on `module`? ("auto" and "all-linear" must have
/// been replaced by names.)
bool is_target(const LoraOptions& options, const std::string& module);

/// The rank and alpha of `module`: of the first pattern whose key, an expression, matches the module's whole
/// name or its last parts; else the options' own.
std::int64_t rank_of(const LoraOptions& options, const std::string& module);
double alpha_of(const LoraOptions& options, const std::string& module);

}  // namespace ranktune
