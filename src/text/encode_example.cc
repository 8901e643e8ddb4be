#include "text/encode_example.h"

#include "base/error.h"

namespace ranktune {

namespace {

// The tokens of the parts; `labels` (if asked for) becomes 1 where a token begins in a supervised part and
// not before.
void encode_rendered(const Tokenizer& tokenizer, std::span<const TemplatePart> parts,
                     std::vector<std::int32_t>& ids, std::vector<std::uint8_t>* labels) {
  std::vector<TextPart> run;
  std::size_t begin = 0;
  while (begin < parts.size()) {
    std::size_t end = begin + 1;
    while (end < parts.size() && !parts[end].cut) ++end;
    run.clear();
    for (std::size_t i = begin; i < end; ++i)
      run.push_back({parts[i].text, parts[i].content ? SpecialTokens::kAsText : SpecialTokens::kRecognise});
    std::vector<std::size_t> first = tokenizer.encode_parts(run, ids);
    first.push_back(ids.size());
    if (labels != nullptr) {
      labels->resize(ids.size(), 0);
      for (std::size_t i = begin; i < end; ++i)
        for (std::size_t t = first[i - begin]; t < first[i - begin + 1] && parts[i].supervised; ++t)
          (*labels)[t] = 1;
    }
    begin = end;
  }
}

void check_end_of_turn(const Tokenizer& tokenizer, const ChatTemplate& chat_template) {
  const std::optional<std::int32_t> id = tokenizer.id_of(chat_template.end_of_turn());
  require(id && tokenizer.is_special(*id),
          "the chat template \"{}\" ends turns with {}, which is not a special token of this tokenizer, so a "
          "model "
          "trained with it would never learn to stop; choose a template made for the model",
          chat_template.name(), chat_template.end_of_turn());
}

}  // namespace

EncodedExample encode_example(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                              std::span<const Message> messages) {
  check_end_of_turn(tokenizer, chat_template);
  EncodedExample example;
  encode_rendered(tokenizer, chat_template.render(messages, RenderOptions{}), example.ids,
                  &example.loss_mask);
  return example;
}

std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                        std::span<const Message> messages, const RenderOptions& options) {
  check_end_of_turn(tokenizer, chat_template);
  std::vector<std::int32_t> ids;
  encode_rendered(tokenizer, chat_template.render(messages, options), ids, nullptr);
  return ids;
}

}  // namespace ranktune
