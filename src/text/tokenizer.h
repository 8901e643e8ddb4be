#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace ranktune {

/// What a special token written out inside a text means.
enum class SpecialTokens {
  kRecognise,  ///< it becomes its one id
  kAsText,     ///< it is ordinary characters; added tokens that are not "special" still become one id
};

/// A stretch of text with one rule for the special tokens in it.
struct TextPart {
  std::string_view text;
  SpecialTokens specials = SpecialTokens::kRecognise;
};

struct Vocabulary;

/// Byte-level byte-pair encoding. Immutable after load, so safe to use from many threads.
class Tokenizer {
 public:
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Reads MODEL_FOLDER/tokenizer.json (the `tokenizers` library's format), else MODEL_FOLDER/qwen.tiktoken
  /// (first-generation Qwen). Throws where neither is there, or where one is damaged or of an unsupported
  /// kind.
  static std::unique_ptr<const Tokenizer> load(const Path& model_folder);

  /// Appends the ids of `text`; no tokens are added around it. Bytes that are not UTF-8 are encoded as
  /// U+FFFD.
  void encode(std::string_view text, SpecialTokens specials, std::vector<std::int32_t>& ids) const;
  std::vector<std::int32_t> encode(std::string_view text,
                                   SpecialTokens specials = SpecialTokens::kRecognise) const;

  /// Appends the ids of the parts joined into one text: a token may lie across the border of two parts, but a
  /// special token is recognised only where it lies wholly in kRecognise parts. Returns, for each part, the
  /// position in `ids` of the first token that begins at or after the part's begin.
  std::vector<std::size_t> encode_parts(std::span<const TextPart> parts,
                                        std::vector<std::int32_t>& ids) const;

  /// The exact bytes the ids stand for (not always UTF-8: an id may be half a character). Throws on an id the
  /// vocabulary has not got.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;

  /// The bytes of one id; "" for a hole in the vocabulary. Throws on an id outside 0..vocabulary_size()-1.
  const std::string& token_bytes(std::int32_t id) const;
  bool is_special(std::int32_t id) const;
  /// Largest id + 1, added tokens included.
  std::int32_t vocabulary_size() const;
  /// The id of an added token ("<|im_end|>") or, failing that, of the ordinary token with these bytes.
  std::optional<std::int32_t> id_of(std::string_view token) const;
  /// Hash of everything that decides ids.
  const std::string& fingerprint() const;

 private:
  friend std::unique_ptr<const Tokenizer> make_tokenizer(Vocabulary vocabulary);
  class Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

/// Turns a growing sequence of ids into text as it comes: what push returns never ends inside a UTF-8
/// character, and bytes that can no longer become one are given out as U+FFFD.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}
  std::string push(std::int32_t id);
  /// What is left at the end: "" or U+FFFD for an unfinished character. The decoder is then as new.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;
};

}  // namespace ranktune
