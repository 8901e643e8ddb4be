#include "text/tokenizer.h"
#include "text/unicode.h"

namespace ranktune {

std::string StreamDecoder::push(std::int32_t id) {
  // Models with more rows than the tokenizer has tokens may choose one of the others.
  if (id < tokenizer_->vocabulary_size() && (!skip_special_ || !tokenizer_->is_special(id)))
    pending_ += tokenizer_->token_bytes(id);
  // What may still become a character stays: at most three bytes at the end.
  std::size_t keep = 0;
  for (std::size_t size = 1; size <= 3 && size <= pending_.size(); ++size) {
    bool unfinished = false;
    valid_character(std::string_view(pending_).substr(pending_.size() - size), &unfinished);
    if (unfinished) keep = size;
  }
  std::string out = replace_invalid_utf8(std::string_view(pending_).substr(0, pending_.size() - keep));
  pending_.erase(0, pending_.size() - keep);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out = replace_invalid_utf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace ranktune
