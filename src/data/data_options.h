#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace ranktune {

/// How the rows of an input file are to be understood.
enum class DataFormat {
  kAuto,      ///< decided per file by the keys of its first sound row
  kAlpaca,    ///< instruction, input, output, system, history
  kShareGpt,  ///< conversations of {from, value}
  kMessages,  ///< messages of {role, content}, as OpenAI's fine-tuning files
  kText,      ///< plain text files (or folders of them), made into a style-imitation set
};

/// What happens to a row of more than max_length tokens. No policy ever drops an end token silently.
enum class OverLength {
  kDrop,   ///< the row is left out
  kSplit,  ///< rows of several turns become several rows, cut between exchanges; the system message goes with
           ///< each
  kKeepEnd,    ///< older turns go, then the beginning of the last prompt; the last answer and its end token
               ///< stay
  kTerminate,  ///< the first answer that does not fit is cut and closed with the end token; what follows it
               ///< goes
  kError,      ///< preparation stops and names the row
};

/// What happens to a row that cannot be used (broken JSON, wrong keys, roles out of order, no answer ...).
enum class BadRow {
  kError,  ///< preparation stops and names the row
  kSkip,   ///< the row is left out and counted under its class
};

/// Names as the command line, the configuration and the shards spell them. Persistent.
std::string_view name_of(DataFormat format);
std::string_view name_of(OverLength policy);
std::string_view name_of(BadRow policy);
DataFormat parse_data_format(std::string_view name);
OverLength parse_over_length(std::string_view name);
BadRow parse_bad_row(std::string_view name);

/// Bounds of the style-imitation set made from plain text. All lengths are in characters (code points).
struct TextCorpusOptions {
  std::int64_t passage_min = 40;   ///< 1 .. passage_max; shorter paragraphs are joined with the next
  std::int64_t passage_max = 400;  ///< <= 20000; longer paragraphs are cut at the ends of sentences
  std::int64_t context_max = 400;  ///< most characters of surrounding text that an instruction quotes
  double held_out = 0.1;           ///< 0 .. 0.5, share of the files that go to the held-out set
  std::uint64_t seed = 1;          ///< picks task kinds, phrasings and held-out files
};

/// Everything `ranktune prep` can be told. Affects the bytes written, except `threads`.
struct PrepOptions {
  std::vector<Path>
      inputs;   ///< at least one; .json (array), .jsonl / .ndjson; for kText .txt files or folders
  Path output;  ///< NAME.h5
  Path model;   ///< folder with tokenizer and chat template
  std::string chat_template = "auto";  ///< as ChatTemplate::load takes it; "auto" = the model's own
  bool allow_template_mismatch =
      false;  ///< go on where the files of the model disagree about the end of a turn

  DataFormat format = DataFormat::kAuto;
  std::int64_t max_length = 2048;  ///< tokens of one row, 8 .. 2^20
  OverLength over_length = OverLength::kDrop;
  BadRow on_bad_row = BadRow::kError;
  bool dedupe = false;  ///< leave out rows whose messages are byte for byte those of an earlier row (64 bytes
                        ///< of memory a row)

  std::string system;          ///< system message for rows without one; "" = none added
  std::string name;            ///< replaces {{name}}
  std::string author;          ///< replaces {{author}}
  bool allow_markers = false;  ///< take rows with {{name}} or {{author}} that nothing replaces

  double validation_fraction = 0.0;  ///< 0 .. 0.5; rows are picked by a hash of their first prompt, so equal
                                     ///< prompts never stand on both sides
  Path validation_output;            ///< NAME.h5 of the rows split off; for kText also the held-out files

  std::int64_t shard_tokens = 0;  ///< a new shard begins before one would hold more tokens; 0 = one file
  std::int64_t shard_rows = 0;    ///< the same for rows; 0 = no limit
  int compression = 3;            ///< zlib level, 0 .. 9
  int threads = 0;                ///< tokenising threads; 0 = all cores
  std::int64_t max_record_bytes = std::int64_t{64} << 20;  ///< one JSON row may not be larger
  TextCorpusOptions text;

  /// Ranges and combinations; throws naming the field.
  void check() const;
};

}  // namespace ranktune
