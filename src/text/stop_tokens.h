#pragma once

#include <cstdint>
#include <vector>

#include "base/file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ranktune {

/// Where generation ends.
struct StopTokens {
  std::vector<std::int32_t> ids;  ///< ascending; holds end_of_turn
  std::int32_t end_of_turn = 0;   ///< what the template closes an assistant's turn with
};

/// What to do where the sources of a model folder contradict each other.
enum class TemplateMismatch { kRefuse, kWarn };

/// Gathers the stop tokens of a model folder: config.json and generation_config.json (eos_token_id, number or
/// list), tokenizer_config.json (eos_token) and the template's end of turn. They disagree where one of them
/// would let a trained model run past its end of turn, or where the model's own template, if it is a known
/// one, writes turns otherwise than the chosen (default system texts may differ). Then throws, or warns and
/// takes all stop tokens, naming every source with its value and the remedy. Throws in any case where a
/// source names a token the tokenizer has not got.
StopTokens load_stop_tokens(const Path& model_folder, const Tokenizer& tokenizer,
                            const ChatTemplate& chat_template,
                            TemplateMismatch mismatch = TemplateMismatch::kRefuse);

}  // namespace ranktune
