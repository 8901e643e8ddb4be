// A digit (1: tokens of the single bytes stand before the lines given), the lines of a qwen.tiktoken, a zero
// byte, and a text for it.
#include "fuzz.h"
#include "tokenizer_use.h"

using namespace ranktune;

namespace {

std::string base64_of_byte(unsigned byte) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return {kAlphabet[byte >> 2], kAlphabet[(byte & 3) << 4], '=', '='};
}

const std::string& byte_tokens() {
  static const std::string lines = [] {
    std::string text;
    for (unsigned byte = 0; byte < 256; ++byte)
      text += base64_of_byte(byte) + " " + std::to_string(byte) + "\n";
    return text;
  }();
  return lines;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool with_bytes = input.choice() == 1;
  fuzz::put("qwen.tiktoken", (with_bytes ? byte_tokens() : "") + std::string(input.take_until('\0')));
  fuzz::may_refuse([&] { fuzz::use(*Tokenizer::load(fuzz::scratch().path()), input.rest()); });
  return 0;
}
