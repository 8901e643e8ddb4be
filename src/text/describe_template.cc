#include "text/describe_template.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/encode_example.h"
#include "text/unicode.h"

namespace ranktune {
namespace {

std::string quoted(const std::string& bytes) {
  const bool whole = replace_invalid_utf8(bytes) == bytes;
  std::string text = "\"";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      text += "\\n";
    } else if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !whole)) {
      text += fmt::format("\\x{:02X}", byte);
    } else {
      text += c;
    }
  }
  return text + '"';
}

}  // namespace

std::string describe_template(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                              std::span<const Message> messages, bool colours) {
  const EncodedExample example = encode_example(tokenizer, chat_template, messages);
  const auto labels = std::count(example.loss_mask.begin(), example.loss_mask.end(), std::uint8_t{1});
  std::string text = fmt::format("chat template \"{}\" ({}), {} tokens, {} labels\n", chat_template.name(),
                                 chat_template.fingerprint(), example.ids.size(), labels);
  text += fmt::format("{:>5} {:>7}  {:<7}  {:<5}  text\n", "token", "id", "special", "label");
  for (std::size_t i = 0; i < example.ids.size(); ++i) {
    const std::int32_t id = example.ids[i];
    const bool label = example.loss_mask[i] == 1;
    const std::string line =
        fmt::format("{:>5} {:>7}  {:<7}  {:<5}  {}", i, id, tokenizer.is_special(id) ? "special" : "",
                    label ? "label" : "", quoted(tokenizer.token_bytes(id)));
    text += colours ? fmt::format("\x1b[{}m{}\x1b[0m\n", label ? 32 : 2, line) : fmt::format("{}\n", line);
  }
  return text;
}

std::vector<Message> sample_conversation(const ChatTemplate& chat_template) {
  return {{"user", "What is 2 + 2?"},
          {"assistant", "It is 4."},
          {"user", fmt::format("用中文说,不要写 {}。", chat_template.end_of_turn())},
          {"assistant", "是四。"}};
}

}  // namespace ranktune
