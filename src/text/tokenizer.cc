#include "text/tokenizer.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace ranktune {

namespace {

std::vector<AddedToken> select_tokens(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> chosen;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(chosen),
               [&](const AddedToken& token) { return token.normalized == normalized; });
  return chosen;
}

std::string fingerprint_of(const Vocabulary& vocabulary) {
  Hasher hasher;
  const auto add_number = [&](std::int64_t number) { hasher.add(std::to_string(number)).add(","); };
  hasher.add("ranktune tokenizer 1\n").add(vocabulary.description).add("\n");
  for (const std::string& bytes : vocabulary.token_bytes) {
    add_number(static_cast<std::int64_t>(bytes.size()));
    hasher.add(bytes);
  }
  for (const AddedToken& token : vocabulary.added) {
    add_number(token.id);
    add_number(token.special + 2 * token.normalized + 4 * token.lstrip + 8 * token.rstrip);
  }
  for (const std::int32_t id : vocabulary.byte_ids) add_number(id);
  hasher.add(std::as_bytes(std::span(vocabulary.merges)));
  return hasher.hex();
}

}  // namespace

class Tokenizer::Impl {
 public:
  explicit Impl(Vocabulary vocabulary)
      : fingerprint(fingerprint_of(vocabulary)),
        tokens(std::move(vocabulary.token_bytes)),
        special(tokens.size(), false),
        normalisation_(vocabulary.normalisation),
        raw_added_(select_tokens(vocabulary.added, false)),
        normalized_added_(select_tokens(vocabulary.added, true)),
        pre_tokenizer_(std::move(vocabulary.pre_tokenizer)),
        words_(index_words(tokens, vocabulary.added)),
        model_(vocabulary.byte_ids, vocabulary.merges, words_, vocabulary.options) {
    for (const AddedToken& token : vocabulary.added) {
      added_ids_.emplace(token.content, token.id);
      special[static_cast<std::size_t>(token.id)] = token.special;
    }
  }

  std::optional<std::int32_t> id_of(std::string_view token) const {
    if (const auto added = added_ids_.find(std::string(token)); added != added_ids_.end())
      return added->second;
    if (const auto word = words_.find(token); word != words_.end()) return word->second;
    return std::nullopt;
  }

  std::vector<std::size_t> encode(std::span<const TextPart> parts, std::vector<std::int32_t>& ids) const;

  const std::string fingerprint;
  const std::vector<std::string> tokens;
  std::vector<bool> special;

 private:
  class Run;
  class Lease;
  using Words = std::unordered_map<std::string_view, std::int32_t>;

  static Words index_words(const std::vector<std::string>& tokens, const std::vector<AddedToken>& added) {
    std::vector<bool> is_added(tokens.size(), false);
    for (const AddedToken& token : added) is_added[static_cast<std::size_t>(token.id)] = true;
    Words words;
    words.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id)
      if (!is_added[id] && !tokens[id].empty()) words.emplace(tokens[id], static_cast<std::int32_t>(id));
    return words;
  }

  Normalisation normalisation_;
  AddedTokenMatcher raw_added_, normalized_added_;
  PreTokenizer pre_tokenizer_;
  Words words_;  // views into tokens
  std::unordered_map<std::string, std::int32_t> added_ids_;
  BytePairModel model_;
  mutable std::mutex idle_mutex_;
  mutable std::vector<std::unique_ptr<BytePairModel::Workspace>> idle_;
};

// A workspace of the pool for the time of one call; one more is made where all are in use.
class Tokenizer::Impl::Lease {
 public:
  explicit Lease(const Impl& impl) : impl_(impl) {
    const std::lock_guard lock(impl_.idle_mutex_);
    if (impl_.idle_.empty()) {
      workspace_ = std::make_unique<BytePairModel::Workspace>();
    } else {
      workspace_ = std::move(impl_.idle_.back());
      impl_.idle_.pop_back();
    }
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    const std::lock_guard lock(impl_.idle_mutex_);
    impl_.idle_.push_back(std::move(workspace_));
  }
  BytePairModel::Workspace& operator*() const { return *workspace_; }

 private:
  const Impl& impl_;
  std::unique_ptr<BytePairModel::Workspace> workspace_;
};

// One call of encode: carries the borders of the parts through normalisation and splitting.
class Tokenizer::Impl::Run {
 public:
  Run(const Impl& impl, std::vector<std::int32_t>& ids) : impl_(impl), workspace_(impl), ids_(ids) {}

  // `text` is valid UTF-8; `borders` ascending positions in it; `as_text` the stretches, ascending and apart,
  // where special tokens are ordinary characters. Returns the position in ids of the first token at or after
  // each border.
  std::vector<std::size_t> encode(std::string_view text, std::vector<std::size_t> borders,
                                  std::span<const std::pair<std::size_t, std::size_t>> as_text) {
    const auto accept = [&](const AddedToken& token, std::size_t begin, std::size_t end) {
      if (!token.special) return true;
      const auto reaches = std::partition_point(as_text.begin(), as_text.end(),
                                                [&](const auto& stretch) { return stretch.second <= begin; });
      return reaches == as_text.end() || reaches->first >= end;
    };
    // Tokens looked for in normalised text no longer know which part they lie in.
    specials_in_normalized_ = as_text.empty();
    walk(text, std::move(borders), impl_.raw_added_, accept,
         [this](std::string_view stretch, std::vector<std::size_t> marks) {
           encode_raw(stretch, std::move(marks));
         });
    return std::move(positions_);
  }

 private:
  // Cuts `text` at added tokens and hands the stretches between them on, with the borders that lie in them.
  template <typename Accept, typename Next>
  void walk(std::string_view text, std::vector<std::size_t> borders, const AddedTokenMatcher& matcher,
            Accept&& accept, Next&& next) {
    std::vector<AddedTokenMatcher::Match> matches;
    if (!matcher.empty()) matcher.find(text, accept, matches);
    std::size_t border = 0, done = 0;
    const auto stretch = [&](std::size_t end) {
      if (end == done) return;
      std::vector<std::size_t> marks;
      for (; border < borders.size() && borders[border] < end; ++border)
        marks.push_back(borders[border] - done);
      next(text.substr(done, end - done), std::move(marks));
    };
    for (const AddedTokenMatcher::Match& match : matches) {
      stretch(match.begin);
      for (; border < borders.size() && borders[border] <= match.begin; ++border)
        positions_.push_back(ids_.size());
      ids_.push_back(match.token->id);
      for (; border < borders.size() && borders[border] < match.end; ++border)
        positions_.push_back(ids_.size());
      done = match.end;
    }
    stretch(text.size());
    for (; border < borders.size(); ++border) positions_.push_back(ids_.size());
  }

  void encode_raw(std::string_view text, std::vector<std::size_t> marks) {
    const std::uint8_t* classes = char_classes();
    bool careful = false;
    if (impl_.normalisation_ == Normalisation::kNfc) {
      for (std::size_t at = 0; at < text.size() && !careful;) {
        const CodePoint c = code_point_at(text, at);
        careful = (classes[c.value] & kNfcCareful) != 0;
        at += c.bytes;
      }
    }
    std::string normalised;
    if (careful) {
      append_nfc(text, normalised, &marks);
      text = normalised;
    }
    if (impl_.normalized_added_.empty()) return encode_stretch(text, marks);
    const auto accept = [this](const AddedToken& token, std::size_t, std::size_t) {
      return !token.special || specials_in_normalized_;
    };
    walk(text, std::move(marks), impl_.normalized_added_, accept,
         [this](std::string_view piece, const std::vector<std::size_t>& rest) {
           encode_stretch(piece, rest);
         });
  }

  void encode_stretch(std::string_view text, const std::vector<std::size_t>& marks) {
    ends_.clear();
    impl_.pre_tokenizer_.split(text, ends_);
    auto mark = marks.begin();
    std::size_t begin = 0;
    for (const std::size_t end : ends_) {
      const std::string_view word = text.substr(begin, end - begin);
      const std::size_t first = ids_.size();
      impl_.model_.encode_word(word, *workspace_, ids_);
      for (; mark != marks.end() && *mark < end; ++mark)
        positions_.push_back(token_at(word, *mark - begin, first));
      begin = end;
    }
    for (; mark != marks.end(); ++mark) positions_.push_back(ids_.size());
  }

  // Position in ids of the first token of `word` (whose tokens begin at ids[first]) at or after byte
  // `border`.
  std::size_t token_at(std::string_view word, std::size_t border, std::size_t first) const {
    const auto known = [&](std::size_t at) {
      return impl_.model_.has_byte(static_cast<unsigned char>(word[at]));
    };
    std::size_t at = 0;
    for (std::size_t i = first; i < ids_.size(); ++i) {
      const bool unknown = ids_[i] == impl_.model_.unknown_id();
      while (!unknown && at < word.size() && !known(at)) ++at;  // dropped bytes
      if (at >= border) return i;
      std::size_t bytes = unknown ? 1 : impl_.tokens[static_cast<std::size_t>(ids_[i])].size();
      for (; at < word.size() && bytes > 0; ++at) bytes -= unknown || known(at);
      while (unknown && impl_.model_.fuses_unknown() && at < word.size() && !known(at)) ++at;
    }
    return ids_.size();
  }

  const Impl& impl_;
  Lease workspace_;
  std::vector<std::int32_t>& ids_;
  bool specials_in_normalized_ = true;
  std::vector<std::size_t> positions_;
  std::vector<std::size_t> ends_;
};

std::vector<std::size_t> Tokenizer::Impl::encode(std::span<const TextPart> parts,
                                                 std::vector<std::int32_t>& ids) const {
  std::string joined;
  std::vector<std::size_t> borders;
  std::vector<std::pair<std::size_t, std::size_t>> as_text;
  const bool nfc_first = normalisation_ == Normalisation::kNfcBeforeAll;
  const bool copy = parts.size() > 1 || nfc_first;
  std::string_view text = parts.size() == 1 ? parts[0].text : std::string_view();
  for (const TextPart& part : parts) {
    const bool valid = is_valid_utf8(part.text);
    const std::string repaired = valid ? std::string() : replace_invalid_utf8(part.text);
    const std::string_view clean = valid ? part.text : repaired;
    borders.push_back(joined.size());
    if (nfc_first) {
      append_nfc(clean, joined);
    } else if (copy || !valid) {
      joined += clean;
    }
    if (copy || !valid) text = joined;
    const std::size_t end = borders.back() + (copy || !valid ? joined.size() - borders.back() : clean.size());
    if (part.specials == SpecialTokens::kAsText && end > borders.back())
      as_text.emplace_back(borders.back(), end);
  }
  return Run(*this, ids).encode(text, std::move(borders), as_text);
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::unique_ptr<const Tokenizer> make_tokenizer(Vocabulary vocabulary) {
  return std::unique_ptr<const Tokenizer>(
      new Tokenizer(std::make_unique<Tokenizer::Impl>(std::move(vocabulary))));
}

std::unique_ptr<const Tokenizer> Tokenizer::load(const Path& model_folder) {
  const Path json = model_folder / "tokenizer.json";
  const Path tiktoken = model_folder / "qwen.tiktoken";
  if (std::filesystem::exists(json)) return make_tokenizer(read_tokenizer_json(json));
  if (std::filesystem::exists(tiktoken)) return make_tokenizer(read_tiktoken(tiktoken));
  require(std::filesystem::is_directory(model_folder),
          "{}: no such model folder; give the folder that holds config.json "
          "and tokenizer.json",
          model_folder.string());
  fail(
      "{}: neither tokenizer.json nor qwen.tiktoken is there, so text cannot be tokenised; copy the model's "
      "own "
      "tokenizer file into the folder",
      model_folder.string());
}

void Tokenizer::encode(std::string_view text, SpecialTokens specials, std::vector<std::int32_t>& ids) const {
  const TextPart part{text, specials};
  impl_->encode(std::span(&part, 1), ids);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, SpecialTokens specials) const {
  std::vector<std::int32_t> ids;
  encode(text, specials, ids);
  return ids;
}

std::vector<std::size_t> Tokenizer::encode_parts(std::span<const TextPart> parts,
                                                 std::vector<std::int32_t>& ids) const {
  return impl_->encode(parts, ids);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string text;
  for (const std::int32_t id : ids)
    if (const std::string& bytes = token_bytes(id); !skip_special || !is_special(id)) text += bytes;
  return text;
}

const std::string& Tokenizer::token_bytes(std::int32_t id) const {
  require(id >= 0 && id < vocabulary_size(), "token id {} lies outside the tokenizer's vocabulary of {} ids",
          id, vocabulary_size());
  return impl_->tokens[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_special(std::int32_t id) const {
  return id >= 0 && id < vocabulary_size() && impl_->special[static_cast<std::size_t>(id)];
}

std::int32_t Tokenizer::vocabulary_size() const { return static_cast<std::int32_t>(impl_->tokens.size()); }
std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const { return impl_->id_of(token); }
const std::string& Tokenizer::fingerprint() const { return impl_->fingerprint; }

}  // namespace ranktune
