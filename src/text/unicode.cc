#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "text/unicode_ranges.h"

namespace ranktune {

namespace {

constexpr CodeRange kSpaces[] = {{0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                 {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                 {0x205F, 0x205F}, {0x3000, 0x3000}};

// Numbers that Unicode 17 added.
constexpr CodeRange kNewNumbers[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};

// Letters that compose with the character before them: conjoining Hangul vowels and finals, Kirat Rai vowel
// signs.
constexpr CodeRange kComposingLetters[] = {{0x1161, 0x1175}, {0x11A8, 0x11C2}, {0x16D63, 0x16D6A}};

using Table = std::array<std::uint8_t, kCodePoints>;

void set_bit(Table& table, std::span<const CodeRange> ranges, std::uint8_t bit) {
  for (const CodeRange range : ranges)
    for (std::uint32_t c = range.first; c <= range.last; ++c) table[c] |= bit;
}

std::string encode_utf8(std::uint32_t c) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const utf8proc_ssize_t size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes.data());
  return {reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size)};
}

// The canonical composition by utf8proc.
std::string compose(std::string_view text) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
      &result, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  require(size >= 0, "Unicode normalisation of {} bytes failed: {}", text.size(), utf8proc_errmsg(size));
  return {reinterpret_cast<const char*>(result), static_cast<std::size_t>(size)};
}

bool nfc_careful(std::uint32_t c) {
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  switch (property->category) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return true;
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CO:
      return false;
    default:
      break;
  }
  if (property->combining_class != 0) return true;
  const bool decomposes = property->decomp_seqindex != UINT16_MAX && property->decomp_type == 0;
  if (!decomposes) return false;
  const std::string text = encode_utf8(c);
  return compose(text) != text;
}

std::unique_ptr<const Table> build_classes() {
  auto table = std::make_unique<Table>();
  set_bit(*table, letter_ranges(), kLetter);
  set_bit(*table, number_ranges(), kNumber | kLoneDigit);
  set_bit(*table, kNewNumbers, kLoneDigit);
  set_bit(*table, kSpaces, kSpace);
  set_bit(*table, kComposingLetters, kNfcCareful);
  (*table)['\n'] |= kNewline;
  (*table)['\r'] |= kNewline;
  // Below U+0300 everything is its own composition; beyond plane 3 nothing has one but the tags of plane 14.
  for (std::uint32_t c = 0x300; c < 0x40000; ++c)
    if (nfc_careful(c)) (*table)[c] |= kNfcCareful;
  for (std::uint32_t c = 0xE0000; c < 0xE1000; ++c)
    if (nfc_careful(c)) (*table)[c] |= kNfcCareful;
  return table;
}

}  // namespace

const std::uint8_t* char_classes() {
  static const std::unique_ptr<const Table> table = build_classes();
  return table->data();
}

std::size_t valid_character(std::string_view bytes, bool* unfinished) {
  if (unfinished != nullptr) *unfinished = false;
  if (bytes.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range excludes over-long forms, surrogates and code points above U+10FFFF.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < size; ++i) {
    if (i == bytes.size()) {
      if (unfinished != nullptr) *unfinished = true;
      return 0;
    }
    if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xBF)) return 0;
  }
  return size;
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const std::size_t size = valid_character(text.substr(at));
    if (size == 0) return false;
    at += size;
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t size = valid_character(text.substr(at)); size != 0) {
      out.append(text, at, size);
      at += size;
      continue;
    }
    // The longest beginning of a character is replaced as a whole, a byte that begins none alone.
    std::size_t length = 1;
    bool unfinished = false;
    for (std::size_t tried = 1; tried <= 3 && at + tried <= text.size(); ++tried) {
      valid_character(text.substr(at, tried), &unfinished);
      if (!unfinished) break;
      length = tried;
    }
    out += "\xEF\xBF\xBD";
    at += length;
  }
  return out;
}

void append_nfc(std::string_view text, std::string& out, std::vector<std::size_t>* marks) {
  const std::uint8_t* classes = char_classes();
  std::size_t next_mark = 0;
  // Positions in [begin, end) moved to where the stretch lies in out; those after its first `same` bytes to
  // its end.
  const auto move_marks = [&](std::size_t begin, std::size_t end, std::size_t out_begin, std::size_t same) {
    if (marks == nullptr) return;
    for (; next_mark < marks->size() && (*marks)[next_mark] < end; ++next_mark) {
      const std::size_t offset = (*marks)[next_mark] - begin;
      (*marks)[next_mark] = offset <= same ? out_begin + offset : out.size();
    }
  };
  std::size_t copied = 0;     // text before this is in out
  std::size_t character = 0;  // begin of the character before `at`
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if ((classes[c.value] & kNfcCareful) == 0) {
      character = at;
      at += c.bytes;
      continue;
    }
    // A stretch that may change: the character before, and all careful ones that follow.
    std::size_t end = at + c.bytes;
    while (end < text.size()) {
      const CodePoint next = code_point_at(text, end);
      if ((classes[next.value] & kNfcCareful) == 0) break;
      end += next.bytes;
    }
    const std::size_t begin = at == 0 ? 0 : character;
    std::size_t out_begin = out.size();
    out.append(text, copied, begin - copied);
    move_marks(copied, begin, out_begin, begin - copied);
    out_begin = out.size();
    const std::string_view stretch = text.substr(begin, end - begin);
    const std::string composed = compose(stretch);
    out += composed;
    const auto differ = std::mismatch(stretch.begin(), stretch.end(), composed.begin(), composed.end()).first;
    move_marks(begin, end, out_begin, static_cast<std::size_t>(differ - stretch.begin()));
    copied = character = at = end;
  }
  const std::size_t out_begin = out.size();
  out.append(text, copied);
  move_marks(copied, text.size() + 1, out_begin, text.size());
}

}  // namespace ranktune
