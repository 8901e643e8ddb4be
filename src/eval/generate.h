#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "eval/sampler.h"
#include "model/decoder.h"

namespace ranktune {

struct GenerateOptions {
  std::int64_t max_new_tokens = 256;
  std::vector<std::int32_t> stop;  ///< tokens that end the answer; they are not part of it
  SamplingOptions sampling;
  bool use_adapter = true;
};

struct Generation {
  std::vector<std::int32_t> ids;
  bool stopped = false;  ///< a stop token came; else max_new_tokens or the model's length ended it
};

/// Continues `prompt` token by token with a key/value cache. `on_token` (may be empty) sees each token as it
/// comes.
Generation generate(Decoder& decoder, std::span<const std::int32_t> prompt, const GenerateOptions& options,
                    const std::function<void(std::int32_t)>& on_token = {});

}  // namespace ranktune
