#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/error.h"
#include "data/text_checks.h"
#include "data/text_corpus.h"

namespace ranktune {
namespace {

constexpr std::int64_t kLongestTitle = 40;  // characters

struct Line {
  std::string_view text;  // without blanks at either end
  std::int64_t number = 0;
  bool indented = false;
};

struct Paragraph {
  std::string text;
  std::int64_t line = 0;
};

std::uint32_t first_code_point(std::string_view text) {
  std::size_t at = 0;
  return next_code_point(text, at);
}

std::uint32_t last_code_point(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return next_code_point(text, at);
}

/// Blanks of both ends off, full-width ones included.
std::string_view strip(std::string_view text) {
  while (!text.empty()) {
    std::size_t at = 0;
    next_code_point(text, at);
    if (!is_blank_text(text.substr(0, at))) break;
    text.remove_prefix(at);
  }
  while (!text.empty()) {
    std::size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!is_blank_text(text.substr(at))) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

std::vector<Line> lines_of(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<Line> lines;
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    const std::string_view body = strip(raw);
    lines.push_back({body, number, !body.empty() && body.data() != raw.data()});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool is_wide(std::uint32_t c) {
  return is_han(c) || (c >= 0x3000 && c <= 0x303F) || (c >= 0xFF00 && c <= 0xFFEF) || c == 0x2026 ||
         c == 0x2014 || c == 0x201C || c == 0x201D;
}

bool is_closing_mark(std::uint32_t c) {
  static constexpr std::array<std::uint32_t, 11> kMarks{'"',    '\'',   ')',    ']',    0x201D, 0x2019,
                                                        0x300D, 0x300F, 0x300B, 0xFF09, 0x3011};
  return std::find(kMarks.begin(), kMarks.end(), c) != kMarks.end();
}

bool is_sentence_end(std::uint32_t c) {
  return c == '.' || c == '!' || c == '?' || c == 0x3002 || c == 0xFF01 || c == 0xFF1F || c == 0x2026;
}

/// Whether a line ends like a paragraph: with a full stop, perhaps followed by closing marks, or a colon.
bool ends_sentence(std::string_view text) {
  while (!text.empty() && is_closing_mark(last_code_point(text))) {
    std::size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    text = text.substr(0, at);
  }
  if (text.empty()) return true;
  const std::uint32_t last = last_code_point(text);
  return is_sentence_end(last) || last == ':' || last == 0xFF1A || last == 0x2014;
}

/// Text set with fixed line ends: most lines that are followed by another one stop in the middle of a
/// sentence.
bool is_hard_wrapped(const std::vector<Line>& lines) {
  std::size_t followed = 0, open = 0;
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    if (lines[i].text.empty() || lines[i + 1].text.empty() || lines[i + 1].indented) continue;
    ++followed;
    if (!ends_sentence(lines[i].text)) ++open;
  }
  return followed >= 3 && 2 * open > followed;
}

void join(std::string& text, std::string_view next) {
  const bool space = !text.empty() && !is_wide(last_code_point(text)) && !is_wide(first_code_point(next));
  if (space) text += ' ';
  text += next;
}

std::vector<Paragraph> paragraphs_of(const std::vector<Line>& lines) {
  const bool wrapped = is_hard_wrapped(lines);
  std::vector<Paragraph> paragraphs;
  bool open = false;
  for (const Line& line : lines) {
    if (line.text.empty()) {
      open = false;
      continue;
    }
    if (wrapped && open && !line.indented) {
      join(paragraphs.back().text, line.text);
    } else {
      paragraphs.push_back({std::string(line.text), line.number});
    }
    open = true;
  }
  return paragraphs;
}

/// "Mr.", "e.g.", "J.": a full stop that does not end a sentence.
bool is_abbreviation(std::string_view before) {
  static constexpr std::array<std::string_view, 12> kKnown{"Mr", "Mrs", "Ms",  "Dr",  "St",  "Prof",
                                                           "No", "vs",  "etc", "e.g", "i.e", "cf"};
  const auto blank = before.find_last_of(" \t\n(\"'");
  const std::string_view word = blank == std::string_view::npos ? before : before.substr(blank + 1);
  const bool initial = word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z';
  return initial || std::find(kKnown.begin(), kKnown.end(), word) != kKnown.end();
}

/// Sentences with their closing marks and the blanks behind them; joined they are the text.
std::vector<std::string_view> sentences_of(std::string_view text) {
  std::vector<std::string_view> sentences;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t mark = at;
    const std::uint32_t c = next_code_point(text, at);
    if (!is_sentence_end(c)) continue;
    const auto peek = [&] {
      std::size_t behind = at;
      return at < text.size() ? next_code_point(text, behind) : 0u;
    };
    while (at < text.size() && (is_sentence_end(peek()) || is_closing_mark(peek())))
      next_code_point(text, at);
    const bool latin = c == '.' || c == '!' || c == '?';
    if (latin && at < text.size() && text[at] != ' ' && !is_wide(peek())) continue;
    if (c == '.' && is_abbreviation(text.substr(begin, mark - begin))) continue;
    while (at < text.size() && text[at] == ' ') ++at;
    sentences.push_back(text.substr(begin, at - begin));
    begin = at;
  }
  if (begin < text.size()) sentences.push_back(text.substr(begin));
  return sentences;
}

/// A paragraph in parts of at most `most` characters: at the ends of sentences, within an endless one
/// anywhere.
std::vector<std::string> cut_paragraph(std::string_view text, std::int64_t most) {
  std::vector<std::string> parts;
  const std::int64_t total = count_code_points(text);
  const std::int64_t wanted = (total + most - 1) / most;
  const std::int64_t aim = (total + wanted - 1) / wanted;  // parts of about equal length
  std::string part;
  std::int64_t length = 0;
  const auto flush = [&] {
    if (!is_blank_text(part)) parts.emplace_back(strip(part));
    part.clear();
    length = 0;
  };
  for (std::string_view sentence : sentences_of(text)) {
    std::int64_t size = count_code_points(sentence);
    if (length > 0 && (length + size > most || length >= aim)) flush();
    while (size > most) {
      const std::size_t border = code_point_offset(sentence, most);
      part = sentence.substr(0, border);
      flush();
      sentence.remove_prefix(border);
      size -= most;
    }
    part += sentence;
    length += size;
  }
  flush();
  return parts;
}

std::vector<TextPiece::Passage> passages_of(const std::vector<Paragraph>& paragraphs,
                                            const TextCorpusOptions& options) {
  std::vector<TextPiece::Passage> passages;
  TextPiece::Passage open;
  std::int64_t length = 0;
  const auto flush = [&] {
    if (length >= options.passage_min) passages.push_back(std::move(open));
    open = {};
    length = 0;
  };
  for (const Paragraph& paragraph : paragraphs) {
    for (const std::string& part : cut_paragraph(paragraph.text, options.passage_max)) {
      const std::int64_t size = count_code_points(part);
      if (length > 0 && length + 1 + size > options.passage_max) flush();
      if (length == 0) open.line = paragraph.line;
      open.text += (length == 0 ? "" : "\n") + part;
      length += size + (length == 0 ? 0 : 1);
      if (length >= options.passage_min) flush();
    }
  }
  flush();
  return passages;
}

bool is_mostly_chinese(std::string_view text) {
  std::int64_t han = 0, letters = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t c = next_code_point(text, at);
    han += is_han(c) ? 1 : 0;
    letters += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0x2AF) ? 1 : 0;
  }
  return han > letters;
}

/// The first line, where it is short, does not end a sentence and stands apart; it is taken off the lines.
std::optional<std::string> take_title(std::vector<Line>& lines) {
  const auto first =
      std::find_if(lines.begin(), lines.end(), [](const Line& line) { return !line.text.empty(); });
  if (first == lines.end() || first + 1 == lines.end()) return std::nullopt;
  std::string_view text = first->text;
  if (!(first + 1)->text.empty() && !text.starts_with("#")) return std::nullopt;
  text = strip(text.substr(std::min(text.find_first_not_of("# "), text.size())));
  if (text.empty() || count_code_points(text) > kLongestTitle || ends_sentence(text)) return std::nullopt;
  std::string title(text);
  lines.erase(lines.begin(), first + 1);
  return title;
}

}  // namespace

std::string_view first_sentence(std::string_view text) {
  const auto sentences = sentences_of(text.substr(0, std::min(text.find('\n'), text.size())));
  return sentences.empty() ? std::string_view() : strip(sentences.front());
}

std::string_view last_part(std::string_view text, std::int64_t most) {
  const std::int64_t total = count_code_points(text);
  if (total <= most) return text;
  const std::size_t border = code_point_offset(text, total - most);
  std::size_t begin = 0;
  for (const std::string_view sentence : sentences_of(text)) {
    if (begin >= border) return text.substr(begin);
    begin += sentence.size();
  }
  return strip(text.substr(border));
}

TextPiece read_piece(std::string_view text, std::string_view file_name, const TextCorpusOptions& options) {
  TextPiece piece;
  std::vector<Line> lines = lines_of(text);
  const auto title = take_title(lines);
  piece.title = title ? *title : Path(file_name).stem().string();
  piece.chinese = is_mostly_chinese(text);
  piece.passages = passages_of(paragraphs_of(lines), options);
  return piece;
}

}  // namespace ranktune
