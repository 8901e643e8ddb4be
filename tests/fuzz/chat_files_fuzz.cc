// A digit, then 0: chat_template.jinja; 1: tokenizer_config.json; 2: generation_config.json; 3: config.json,
// of a model folder whose tokenizer is sound.
#include <array>

#include "base/json.h"
#include "fuzz.h"
#include "text/byte_alphabet.h"
#include "text/chat_template.h"
#include "text/stop_tokens.h"
#include "text/tokenizer.h"

using namespace ranktune;

namespace {

std::unique_ptr<const Tokenizer> make_tokenizer() {
  Json vocabulary = Json::object();
  for (unsigned byte = 0; byte < 256; ++byte)
    vocabulary[byte_symbol(static_cast<unsigned char>(byte))] = byte;
  Json added = Json::array();
  for (const char* special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    added.push_back({{"id", 256 + added.size()}, {"content", special}, {"special", true}});
  const Json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const Json tokenizer{{"added_tokens", added},
                       {"normalizer", nullptr},
                       {"pre_tokenizer", byte_level},
                       {"decoder", byte_level},
                       {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  fuzz::put("tokenizer.json", tokenizer.dump());
  return Tokenizer::load(fuzz::scratch().path());
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kFiles{"chat_template.jinja", "tokenizer_config.json", "generation_config.json",
                              "config.json"};
  static const std::unique_ptr<const Tokenizer> tokenizer = make_tokenizer();
  static const ChatTemplate chatml = ChatTemplate::load(fuzz::scratch().path(), "chatml");
  fuzz::Input input(data, size);
  const unsigned kind = input.choice();
  const Path folder = fuzz::scratch().path();
  const Path file = fuzz::put(kFiles[kind % kFiles.size()], input.rest());
  for (const char* name : {"auto", "default"})
    fuzz::may_refuse([&] {
      const ChatTemplate chosen = ChatTemplate::load(folder, name);
      const std::array messages{Message{"user", "q"}, Message{"assistant", "a"}};
      chosen.render_text(messages, true);
    });
  fuzz::may_refuse([&] {
    for (const std::int32_t id : load_stop_tokens(folder, *tokenizer, chatml).ids)
      fuzz::demand(id >= 0 && id < tokenizer->vocabulary_size(), "stop tokens are in the vocabulary");
  });
  std::filesystem::remove(file);
  return 0;
}
