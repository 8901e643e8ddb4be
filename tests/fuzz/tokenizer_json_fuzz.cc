// A tokenizer.json, a zero byte, and a text for it.
#include <vector>

#include "fuzz.h"
#include "tokenizer_use.h"

using namespace ranktune;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  fuzz::put("tokenizer.json", input.take_until('\0'));
  fuzz::may_refuse([&] { fuzz::use(*Tokenizer::load(fuzz::scratch().path()), input.rest()); });
  return 0;
}
