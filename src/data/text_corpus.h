#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "data/data_options.h"
#include "text/chat_template.h"

namespace ranktune {

/// One made-up row and where its answer stands in the source.
struct CorpusRow {
  std::vector<Message> messages;
  std::string kind;       ///< continue, opening, middle, first_sentence, ending or passage
  std::int64_t line = 0;  ///< first line of the answer in the file, from 1
};

/// A piece of plain UTF-8 text: its title (a short first line followed by a blank one, or the file's name)
/// and its passages.
struct TextPiece {
  struct Passage {
    std::string text;
    std::int64_t line = 0;
  };
  std::string title;
  bool chinese = false;  ///< more than half of the letters are Han characters
  std::vector<Passage> passages;
};

/// Cuts a text into passages: paragraphs, short ones joined, long ones cut at the ends of sentences (Chinese
/// and Latin punctuation), within the bounds of the options. Hard-wrapped paragraphs are joined to one line.
TextPiece read_piece(std::string_view text, std::string_view file_name, const TextCorpusOptions& options);

/// The first sentence of a passage.
std::string_view first_sentence(std::string_view text);
/// The end of a text, at most `most` characters, from the begin of a sentence where there is one.
std::string_view last_part(std::string_view text, std::int64_t most);

/// Rows that ask for the piece's own passages. Each passage is an answer at most once. Depends on the
/// arguments alone.
std::vector<CorpusRow> make_rows(const TextPiece& piece, const TextCorpusOptions& options);

/// One row as a line of OpenAI's messages form, without the line end.
std::string to_messages_json(const CorpusRow& row);

struct CorpusFiles {
  std::int64_t pieces = 0, train_rows = 0, held_out_rows = 0;
};
/// Writes the rows of all files as messages JSONL, those of the held-out files to `held_out` (none are held
/// out where that is empty). Throws on text that is not UTF-8 and when no row comes about.
CorpusFiles write_corpus(const std::vector<Path>& inputs, const TextCorpusOptions& options, const Path& train,
                         const Path& held_out);

/// The .txt files among `inputs` (folders are searched in depth), sorted by name; throws when there are none.
std::vector<Path> corpus_files(const std::vector<Path>& inputs);
/// Whether a file goes to the held-out set: decided by ranking the files' content hashes, so that the share
/// is kept and neither names nor order matter.
std::vector<bool> held_out_files(const std::vector<std::string>& hashes, const TextCorpusOptions& options);

}  // namespace ranktune
