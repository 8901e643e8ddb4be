#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/byte_pair_model.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace ranktune {

/// Ids above this are taken for damage: no vocabulary in use has a twentieth of it.
inline constexpr std::int64_t kMaxVocabulary = 1 << 22;

enum class Normalisation {
  kNone,
  kNfc,           ///< of what lies between added tokens
  kNfcBeforeAll,  ///< of the whole text, before added tokens are looked for (tiktoken's Qwen)
};

/// All that decides ids, as the readers of the file formats hand it over.
struct Vocabulary {
  std::vector<std::string> token_bytes;  ///< by id, added tokens included; "" for a hole
  std::vector<AddedToken> added;
  std::array<std::int32_t, 256> byte_ids{};
  std::vector<BytePairModel::Merge> merges;
  BytePairModel::Options options;
  Normalisation normalisation = Normalisation::kNone;
  PreTokenizer pre_tokenizer;
  std::string description;  ///< of normalisation, splitting and options, for the fingerprint
};

/// Reads the `tokenizers` library's tokenizer.json. Throws, naming the file, on damage or unsupported parts.
Vocabulary read_tokenizer_json(const Path& file);
/// Reads qwen.tiktoken: lines of base64(bytes), a space, the rank; the special tokens follow the ranks.
Vocabulary read_tiktoken(const Path& file);
/// One merge a token, in the order of ranks, as formats with a list of merges (tokenizer.json, GGUF) need it:
/// the two parts that merging by lower ranks leaves of the token. Words get the same ids by these as by all
/// of read_tiktoken's. Throws, naming `where`, on a token of which other than two parts are left.
std::vector<BytePairModel::Merge> tiktoken_merges(const Vocabulary& vocabulary, const std::string& where);

std::unique_ptr<const Tokenizer> make_tokenizer(Vocabulary vocabulary);

}  // namespace ranktune
