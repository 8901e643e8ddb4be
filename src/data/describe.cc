#include "data/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace ranktune {
namespace {

constexpr std::int64_t kBuckets = 16;

struct Lengths {
  std::vector<std::int64_t> sorted;

  explicit Lengths(const ShardReader& reader) {
    for (std::int64_t row = 0; row < reader.rows(); ++row) sorted.push_back(reader.length(row));
    std::sort(sorted.begin(), sorted.end());
  }
  std::int64_t quantile(double q) const {
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
  }
  double mean() const {
    return static_cast<double>(std::accumulate(sorted.begin(), sorted.end(), std::int64_t{0})) /
           static_cast<double>(sorted.size());
  }
  /// Rows per bucket of equal width from 1 on.
  std::pair<std::int64_t, std::vector<std::int64_t>> histogram() const {
    const std::int64_t width = std::max<std::int64_t>(1, (sorted.back() + kBuckets - 1) / kBuckets);
    std::vector<std::int64_t> counts(static_cast<std::size_t>((sorted.back() - 1) / width + 1), 0);
    for (const std::int64_t length : sorted) counts[static_cast<std::size_t>((length - 1) / width)] += 1;
    return {width, counts};
  }
};

std::string histogram_text(const Lengths& lengths, int width) {
  const auto [step, counts] = lengths.histogram();
  const std::int64_t most = *std::max_element(counts.begin(), counts.end());
  const std::int64_t room = std::max(10, width - 32);
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto first = static_cast<std::int64_t>(i) * step + 1;
    std::string bar;
    const std::int64_t cells = counts[i] == 0 ? 0 : std::max<std::int64_t>(1, counts[i] * room / most);
    for (std::int64_t cell = 0; cell < cells; ++cell) bar += "█";
    text += fmt::format("  {:>7}-{:<7} {:>9} {}\n", first, first + step - 1, counts[i], bar);
  }
  return text;
}

/// Stretches of a row whose tokens have the same mark.
struct Run {
  std::size_t begin, end;
  bool target;
};

std::vector<Run> runs_of(const TokenRow& row) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < row.tokens.size(); ++i) {
    const bool target = row.loss_mask[i] == 1;
    if (runs.empty() || runs.back().target != target) runs.push_back({i, i, target});
    runs.back().end = i + 1;
  }
  return runs;
}

std::string run_text(const TokenRow& row, const Run& run, const Tokenizer* tokenizer) {
  const std::span<const std::int32_t> ids(row.tokens.data() + run.begin, run.end - run.begin);
  if (tokenizer != nullptr) return tokenizer->decode(ids);
  std::string text;
  for (const std::int32_t id : ids) text += fmt::format("{}{}", text.empty() ? "" : " ", id);
  return text;
}

std::string source_text(const ShardReader& reader, std::int64_t row) {
  const RowSource source = reader.source(row);
  return fmt::format("{}:{}", reader.metadata().sources[static_cast<std::size_t>(source.file)].name,
                     source.line);
}

std::string row_text(const ShardReader& reader, std::int64_t index, const Tokenizer* tokenizer,
                     const DescribeOptions& options) {
  const TokenRow row = reader.read(index);
  const auto targets = std::count(row.loss_mask.begin(), row.loss_mask.end(), std::uint8_t{1});
  std::string text = fmt::format("row {} ({}): {} tokens, {} targets\n", index, source_text(reader, index),
                                 row.tokens.size(), targets);
  for (const Run& run : runs_of(row)) {
    const std::string part = run_text(row, run, tokenizer);
    if (options.colours) {
      text += run.target ? "\x1b[32m" + part + "\x1b[0m" : "\x1b[2m" + part + "\x1b[0m";
    } else {
      text += run.target ? "«" + part + "»" : part;
    }
    if (tokenizer == nullptr) text += ' ';
  }
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

/// What preparation left out, changed or found odd; classes with no row are not kept.
std::string preparation_text(const ShardMetadata& made) {
  const Json counts = parse_json(made.counts, "counts");
  std::string text;
  for (const char* what : {"skipped", "changed", "warned"}) {
    const auto found = counts.find(what);
    if (found == counts.end() || !found->is_object()) continue;
    for (const auto& [name, rows] : found->items())
      text += fmt::format("  {:<11} {} {}\n", what, name, rows.dump());
  }
  return text;
}

void check_tokenizer(const ShardReader& reader, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return;
  require(tokenizer->fingerprint() == reader.metadata().tokenizer_fingerprint,
          "{}: was made with another tokenizer than the given model's; its ids would show as wrong text",
          reader.files().front().string());
}

}  // namespace

std::string describe_data(const ShardReader& reader, const Tokenizer* tokenizer,
                          const DescribeOptions& options) {
  require(options.width >= 40 && options.width <= 400, "a width of {} columns is out of range: 40 .. 400",
          options.width);
  check_tokenizer(reader, tokenizer);
  const ShardMetadata& made = reader.metadata();
  const Lengths lengths(reader);
  std::string text =
      fmt::format("{}{}\n", reader.files().front().string(),
                  reader.files().size() == 1 ? "" : fmt::format(" … {} shards", reader.files().size()));
  text += fmt::format(
      "  rows        {}\n  tokens      {}\n  targets     {} ({:.1f} %)\n", reader.rows(), reader.tokens(),
      reader.supervised_tokens(),
      100.0 * static_cast<double>(reader.supervised_tokens()) / static_cast<double>(reader.tokens()));
  text +=
      fmt::format("  content     {}\n  tokenizer   {} ({} ids)\n  template    {} {}\n", reader.set_hash(),
                  made.tokenizer_fingerprint, made.vocabulary, made.template_name, made.template_fingerprint);
  std::string end;
  if (tokenizer != nullptr && made.end_of_turn >= 0 && made.end_of_turn < tokenizer->vocabulary_size()) {
    end = " " + tokenizer->token_bytes(static_cast<std::int32_t>(made.end_of_turn));
  }
  text += fmt::format("  end of turn {}{}\n  max length  {} (over-long rows: {})\n", made.end_of_turn, end,
                      made.max_length, made.over_length);
  for (const auto& source : made.sources)
    text += fmt::format("  source      {} {}\n", source.name, source.hash);
  text += fmt::format("  lengths     shortest {}, median {}, mean {:.1f}, 95 % {}, longest {}\n",
                      lengths.sorted.front(), lengths.quantile(0.5), lengths.mean(), lengths.quantile(0.95),
                      lengths.sorted.back());
  text += histogram_text(lengths, options.width);
  text += preparation_text(made);
  for (const std::int64_t row : options.rows)
    text.append("\n").append(row_text(reader, row, tokenizer, options));
  return text;
}

std::string describe_data_json(const ShardReader& reader, const Tokenizer* tokenizer,
                               const DescribeOptions& options) {
  check_tokenizer(reader, tokenizer);
  const Lengths lengths(reader);
  OrderedJson json;
  json["files"] = OrderedJson::array();
  for (const Path& file : reader.files()) json["files"].push_back(file.string());
  json["rows"] = reader.rows();
  json["tokens"] = reader.tokens();
  json["supervised_tokens"] = reader.supervised_tokens();
  json["set_hash"] = reader.set_hash();
  json["metadata"] = OrderedJson::parse(reader.metadata().to_json());
  json["lengths"] = {{"shortest", lengths.sorted.front()},
                     {"median", lengths.quantile(0.5)},
                     {"mean", lengths.mean()},
                     {"p95", lengths.quantile(0.95)},
                     {"longest", lengths.sorted.back()}};
  const auto [width, counts] = lengths.histogram();
  json["histogram"] = {{"bucket_tokens", width}, {"rows", counts}};
  json["shown"] = OrderedJson::array();
  for (const std::int64_t index : options.rows) {
    const TokenRow row = reader.read(index);
    OrderedJson shown;
    shown["row"] = index;
    shown["source"] = source_text(reader, index);
    shown["tokens"] = row.tokens;
    shown["loss_mask"] = row.loss_mask;
    shown["runs"] = OrderedJson::array();
    for (const Run& run : runs_of(row)) {
      shown["runs"].push_back({{"target", run.target}, {"text", run_text(row, run, tokenizer)}});
    }
    json["shown"].push_back(std::move(shown));
  }
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace ranktune
