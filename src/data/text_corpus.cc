#include "data/text_corpus.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/random.h"
#include "data/text_checks.h"

namespace ranktune {
namespace {

enum class Kind { kContinue, kOpening, kMiddle, kFirstSentence, kEnding, kPassage };

constexpr std::size_t kPhrasings = 4;
using Phrasings = std::array<const char*, kPhrasings>;

/// {0} is the title, {1} a quoted text, {2} another one.
struct Wording {
  const char* name;
  Phrasings chinese, english;
};

const Wording& wording_of(Kind kind) {
  static const std::array<Wording, 6> wordings{{
      {"continue",
       {"接着下面这段话往下写。\n{1}", "请续写下文：\n{1}",
        "下面这段之后写了什么？请照原来的笔调写出来。\n{1}", "顺着这段文字的语气，写出紧接着的一段。\n{1}"},
       {"Go on from here.\n{1}", "Write the passage that follows this one:\n{1}",
        "Continue the text below in the same voice.\n{1}", "What comes next? Keep the tone.\n{1}"}},
      {"opening",
       {"以《{0}》为题，写出文章的开头。", "请写一篇题为《{0}》的文章，先写第一段。",
        "《{0}》这一篇该怎样起笔？", "题目是《{0}》，请写开篇的文字。"},
       {"Write the opening of a piece called \"{0}\".", "How does a text with the title \"{0}\" begin?",
        "The title is \"{0}\". Write the first paragraph.", "Begin a piece entitled \"{0}\"."}},
      {"middle",
       {"补写中间缺掉的一段。\n前文：{1}\n后文：{2}",
        "这两段之间少了一段，请写出来。\n上一段：{1}\n下一段：{2}",
        "请把前后两段连起来，写出当中的文字。\n前：{1}\n后：{2}",
        "已知前一段和后一段，写出夹在中间的一段。\n前一段：{1}\n后一段：{2}"},
       {"Write the passage missing between these two.\nBefore: {1}\nAfter: {2}",
        "Something is left out here. Fill it in.\nBefore the gap: {1}\nAfter the gap: {2}",
        "Join these two passages with the one that belongs between them.\nFirst: {1}\nLast: {2}",
        "What stands between these passages?\nPrevious: {1}\nNext: {2}"}},
      {"first_sentence",
       {"以这句话开头写一段文字：{1}", "用下面的句子起头，写成一段。\n{1}", "请从这一句写起：{1}",
        "第一句是“{1}”，请写完这一段。"},
       {"Write a passage that begins with this sentence: {1}", "Start with these words and go on.\n{1}",
        "The first sentence is given; write the whole passage.\n{1}", "Write on from this beginning: {1}"}},
      {"ending",
       {"为下面的文章写一个结尾。\n{1}", "文章写到这里，请收束全篇。\n{1}",
        "《{0}》写到下面这里，最后一段怎样写？\n{1}", "请写出结尾的一段。\n{1}"},
       {"Write the end of this piece.\n{1}", "Bring the text below to its close.\n{1}",
        "\"{0}\" has come this far. How does it end?\n{1}", "Write the last paragraph.\n{1}"}},
      {"passage",
       {"写一段《{0}》里的文字。", "请写《{0}》中的一段。", "围绕《{0}》写一段话。",
        "《{0}》里有这样一段，请写出来。"},
       {"Write a passage from \"{0}\".", "Give me a paragraph out of the middle of \"{0}\".",
        "Write a few sentences that belong in \"{0}\".", "Compose a part of \"{0}\"."}},
  }};
  return wordings[static_cast<std::size_t>(kind)];
}

/// Kinds that fit the place of a passage in its piece; a kind that stands twice is picked twice as often.
std::vector<Kind> kinds_for(const TextPiece& piece, std::size_t index) {
  const std::size_t count = piece.passages.size();
  if (index == 0) return {Kind::kOpening};
  if (index + 1 == count) return {Kind::kEnding, Kind::kEnding, Kind::kContinue};
  std::vector<Kind> kinds{Kind::kContinue, Kind::kContinue, Kind::kContinue,
                          Kind::kMiddle,   Kind::kMiddle,   Kind::kPassage};
  const std::string& text = piece.passages[index].text;
  const std::string_view first = first_sentence(text);
  if (!first.empty() && 2 * first.size() < text.size()) {
    kinds.insert(kinds.end(), {Kind::kFirstSentence, Kind::kFirstSentence});
  }
  return kinds;
}

std::string quoted_context(const TextPiece& piece, std::size_t index, Kind kind,
                           const TextCorpusOptions& options) {
  if (kind == Kind::kFirstSentence) return std::string(first_sentence(piece.passages[index].text));
  if (index == 0) return {};
  const std::int64_t most =
      kind == Kind::kMiddle ? std::max<std::int64_t>(1, options.context_max / 2) : options.context_max;
  return std::string(last_part(piece.passages[index - 1].text, most));
}

std::string next_context(const TextPiece& piece, std::size_t index, const TextCorpusOptions& options) {
  if (index + 1 >= piece.passages.size()) return {};
  const std::string& text = piece.passages[index + 1].text;
  return text.substr(0, code_point_offset(text, std::max<std::int64_t>(1, options.context_max / 2)));
}

}  // namespace

std::vector<CorpusRow> make_rows(const TextPiece& piece, const TextCorpusOptions& options) {
  std::vector<CorpusRow> rows;
  std::set<std::string_view> used;
  for (std::size_t i = 0; i < piece.passages.size(); ++i) {
    const TextPiece::Passage& passage = piece.passages[i];
    if (!used.insert(passage.text).second) continue;
    const std::uint64_t text_key =
        std::stoull(hash_hex(piece.title + "\n" + passage.text).substr(0, 16), nullptr, 16);
    const CounterRandom random(mix_seed(options.seed, text_key));
    const std::vector<Kind> kinds = kinds_for(piece, i);
    const Kind kind = kinds[random.bits(0) % kinds.size()];
    const Wording& wording = wording_of(kind);
    const Phrasings& phrasings = piece.chinese ? wording.chinese : wording.english;
    const char* phrasing = phrasings[random.bits(1) % kPhrasings];
    const std::string prompt =
        fmt::format(fmt::runtime(phrasing), piece.title, quoted_context(piece, i, kind, options),
                    next_context(piece, i, options));
    rows.push_back({.messages = {{"user", prompt}, {"assistant", passage.text}},
                    .kind = wording.name,
                    .line = passage.line});
  }
  return rows;
}

std::string to_messages_json(const CorpusRow& row) {
  OrderedJson json;
  json["messages"] = OrderedJson::array();
  for (const Message& message : row.messages) {
    json["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  json["kind"] = row.kind;
  return json.dump();
}

std::vector<Path> corpus_files(const std::vector<Path>& inputs) {
  std::vector<Path> files;
  for (const Path& input : inputs) {
    require(std::filesystem::exists(input), "{}: there is no such file or folder", input.string());
    if (!std::filesystem::is_directory(input)) {
      files.push_back(input);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(input)) {
      if (entry.is_regular_file() && entry.path().extension() == ".txt") files.push_back(entry.path());
    }
  }
  require(!files.empty(), "{}: holds no .txt file", inputs.front().string());
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<bool> held_out_files(const std::vector<std::string>& hashes, const TextCorpusOptions& options) {
  std::vector<std::pair<std::string, std::size_t>> ranked;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    ranked.emplace_back(hash_hex(fmt::format("{} {}", options.seed, hashes[i])), i);
  }
  std::sort(ranked.begin(), ranked.end());
  auto count = static_cast<std::size_t>(std::llround(options.held_out * static_cast<double>(hashes.size())));
  if (options.held_out > 0.0 && hashes.size() > 1) count = std::max<std::size_t>(count, 1);
  std::vector<bool> held(hashes.size(), false);
  for (std::size_t i = 0; i < count; ++i) held[ranked[i].second] = true;
  return held;
}

CorpusFiles write_corpus(const std::vector<Path>& inputs, const TextCorpusOptions& options, const Path& train,
                         const Path& held_out) {
  const std::vector<Path> files = corpus_files(inputs);
  std::vector<std::string> hashes;
  for (const Path& file : files) hashes.push_back(hash_file(file.string()));
  const std::vector<bool> held =
      held_out.empty() ? std::vector<bool>(files.size(), false) : held_out_files(hashes, options);
  CorpusFiles counts;
  std::string train_text, held_text;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string text = read_file(files[i]);
    require(simdjson::validate_utf8(text), "{}: is not UTF-8; convert it first", files[i].string());
    counts.pieces += 1;
    for (const CorpusRow& row : make_rows(read_piece(text, files[i].filename().string(), options), options)) {
      (held[i] ? held_text : train_text) += to_messages_json(row) + "\n";
      (held[i] ? counts.held_out_rows : counts.train_rows) += 1;
    }
  }
  require(counts.train_rows > 0, "{}: no passage of at least {} characters was found in {} files",
          inputs.front().string(), options.passage_min, files.size());
  write_file(train, train_text);
  if (!held_out.empty()) write_file(held_out, held_text);
  return counts;
}

}  // namespace ranktune
