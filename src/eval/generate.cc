#include "eval/generate.h"

#include <torch/utils.h>

#include <algorithm>

#include "base/error.h"

namespace ranktune {

Generation generate(Decoder& decoder, std::span<const std::int32_t> prompt, const GenerateOptions& options,
                    const std::function<void(std::int32_t)>& on_token) {
  const torch::NoGradGuard no_grad;
  const std::int64_t limit = decoder.architecture().longest_sequence();
  require(!prompt.empty(), "the prompt has no tokens");
  require(static_cast<std::int64_t>(prompt.size()) < limit,
          "the prompt has {} tokens, but the model takes {} in all", prompt.size(), limit);
  KvCache cache(decoder.architecture().layers);
  const ForwardMode mode{.use_adapter = options.use_adapter};
  torch::Tensor ids = torch::tensor(std::vector<std::int64_t>(prompt.begin(), prompt.end()), torch::kInt64)
                          .to(decoder.device());
  Generation result;
  for (std::int64_t made = 0; made < options.max_new_tokens && cache.length() + ids.size(0) < limit; ++made) {
    const torch::Tensor hidden = decoder.hidden_states(ids, cache, mode);
    const torch::Tensor logits = decoder.logits(
        decoder.final_norm(hidden.narrow(0, hidden.size(0) - 1, 1), mode.use_adapter), mode.use_adapter)[0];
    const std::int32_t token = sample(logits, options.sampling, static_cast<std::uint64_t>(made));
    if (std::find(options.stop.begin(), options.stop.end(), token) != options.stop.end()) {
      result.stopped = true;
      break;
    }
    result.ids.push_back(token);
    if (on_token) on_token(token);
    ids = torch::full({1}, token, ids.options());
  }
  return result;
}

}  // namespace ranktune
