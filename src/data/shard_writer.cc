#include "data/shard_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <regex>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/numeric.h"
#include "data/hdf5.h"

namespace ranktune {
namespace {

void sync_file(const Path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(descriptor >= 0, "{}: cannot be opened to sync it{}", path.string(), errno_text());
  const int result = ::fsync(descriptor);
  const std::string reason = result == 0 ? "" : errno_text();
  ::close(descriptor);
  require(result == 0, "{}: cannot be synced{}", path.string(), reason);
}

/// Values gathered until they fill whole chunks.
template <typename T>
class Column {
 public:
  Column(Hdf5Dataset dataset, std::int64_t flush_rows)
      : dataset_(std::move(dataset)), flush_at_(static_cast<std::size_t>(flush_rows * dataset_.columns())) {
    values_.reserve(flush_at_);
  }
  void add(std::span<const T> values) {
    while (!values.empty()) {
      const std::size_t part = std::min(values.size(), flush_at_ - values_.size());
      values_.insert(values_.end(), values.begin(), values.begin() + static_cast<std::ptrdiff_t>(part));
      values = values.subspan(part);
      if (values_.size() == flush_at_) flush();
    }
  }
  void flush() {
    if (values_.empty()) return;
    dataset_.append(values_.data(), static_cast<std::int64_t>(values_.size()) / dataset_.columns());
    values_.clear();
  }

 private:
  Hdf5Dataset dataset_;
  std::size_t flush_at_;
  std::vector<T> values_;
};

/// What is known of a shard once its rows are written.
struct ShardFacts {
  Path temporary;
  std::int64_t rows = 0, tokens = 0, supervised = 0;
  std::string hash;
};

class OpenShard {
 public:
  OpenShard(const Path& temporary, int compression)
      : file_(Hdf5File::create(temporary)),
        tokens_(dataset<std::int32_t>(kTokensDataset, {Hdf5Type::kInt32, 1, kTokensPerChunk, compression})),
        loss_mask_(
            dataset<std::uint8_t>(kLossMaskDataset, {Hdf5Type::kUint8, 1, kTokensPerChunk, compression})),
        offsets_(dataset<std::int64_t>(kOffsetsDataset, {Hdf5Type::kInt64, 1, kRowsPerChunk, compression})),
        source_(dataset<std::int64_t>(kSourceDataset, {Hdf5Type::kInt64, 2, kRowsPerChunk, compression})) {
    facts_.temporary = temporary;
    add_offset();
  }

  void add(const TokenRow& row, const RowSource& source) {
    const std::int64_t place[] = {source.file, source.line};
    const std::int64_t length[] = {static_cast<std::int64_t>(row.tokens.size())};
    tokens_.add(row.tokens);
    loss_mask_.add(row.loss_mask);
    source_.add(place);
    facts_.rows += 1;
    facts_.tokens += length[0];
    facts_.supervised += std::count(row.loss_mask.begin(), row.loss_mask.end(), std::uint8_t{1});
    add_offset();
    hasher_.add(std::as_bytes(std::span(length))).add(std::as_bytes(std::span(row.tokens)));
    hasher_.add(std::as_bytes(std::span(row.loss_mask))).add(std::as_bytes(std::span(place)));
  }

  const ShardFacts& facts() const { return facts_; }

  ShardFacts close() {
    tokens_.flush();
    loss_mask_.flush();
    offsets_.flush();
    source_.flush();
    file_.flush();
    facts_.hash = hasher_.hex();
    return facts_;
  }

 private:
  template <typename T>
  Column<T> dataset(const char* name, const Hdf5File::Layout& layout) {
    return Column<T>(file_.create_dataset(name, layout), layout.chunk_rows);
  }
  void add_offset() { offsets_.add(std::span<const std::int64_t>(&facts_.tokens, 1)); }

  // Datasets come after the file, so that they are closed before it.
  Hdf5File file_;
  Column<std::int32_t> tokens_;
  Column<std::uint8_t> loss_mask_;
  Column<std::int64_t> offsets_, source_;
  ShardFacts facts_;
  Hasher hasher_;
};

/// Files of earlier sets of the same name, except those of the new set.
std::vector<Path> stale_files(const Path& output, const std::vector<Path>& fresh) {
  const std::string stem = output.stem().string();
  static const std::regex tail("-[0-9]{5}-of-[0-9]{5}\\.h5");
  std::vector<Path> stale;
  const Path folder = output.has_parent_path() ? output.parent_path() : Path(".");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name == output.filename().string() ||
                      (name.starts_with(stem) && std::regex_match(name.substr(stem.size()), tail));
    const bool kept =
        std::any_of(fresh.begin(), fresh.end(), [&](const Path& p) { return p.filename() == name; });
    if (ours && !kept) stale.push_back(entry.path());
  }
  return stale;
}

}  // namespace

struct ShardWriter::State {
  ShardWriterOptions options;
  std::unique_ptr<OpenShard> open;
  std::vector<ShardFacts> closed;
  std::vector<Path> temporaries;
  std::int64_t rows = 0, tokens = 0;

  void start_shard() {
    const Path folder = options.output.parent_path();
    const std::string name =
        fmt::format(".{}.{}-{:05}.tmp", options.output.filename().string(), ::getpid(), temporaries.size());
    temporaries.push_back(folder / name);
    open = std::make_unique<OpenShard>(temporaries.back(), options.compression);
  }

  void close_shard() {
    closed.push_back(open->close());
    open.reset();
  }

  bool full(std::int64_t more_tokens) const {
    const ShardFacts& facts = open->facts();
    return facts.rows > 0 &&
           ((options.shard_rows > 0 && facts.rows >= options.shard_rows) ||
            (options.shard_tokens > 0 && facts.tokens + more_tokens > options.shard_tokens));
  }

  void write_attributes(const ShardFacts& facts, std::int64_t index, const std::string& metadata,
                        const std::string& set_hash) const {
    Hdf5File file = Hdf5File::open_for_edit(facts.temporary);
    file.write_attribute(kFormatAttribute, kShardFormatName);
    file.write_attribute(kVersionAttribute, kShardVersion);
    file.write_attribute(kRowsAttribute, facts.rows);
    file.write_attribute(kTokensAttribute, facts.tokens);
    file.write_attribute(kSupervisedAttribute, facts.supervised);
    file.write_attribute(kShardIndexAttribute, index);
    file.write_attribute(kShardCountAttribute, static_cast<std::int64_t>(closed.size()));
    file.write_attribute(kContentHashAttribute, facts.hash);
    file.write_attribute(kSetHashAttribute, set_hash);
    file.write_attribute(kMetadataAttribute, metadata);
    file.close();
    sync_file(facts.temporary);
  }
};

ShardWriter::ShardWriter(ShardWriterOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
  if (state_->options.output.has_parent_path()) make_folders(state_->options.output.parent_path());
}

ShardWriter::~ShardWriter() {
  state_->open.reset();
  std::error_code ignored;
  for (const Path& path : state_->temporaries) std::filesystem::remove(path, ignored);
}

void ShardWriter::add(const TokenRow& row, const RowSource& source) {
  require(!row.tokens.empty() && row.tokens.size() == row.loss_mask.size(),
          "a row with {} tokens and {} marks cannot be stored", row.tokens.size(), row.loss_mask.size());
  State& state = *state_;
  const auto length = static_cast<std::int64_t>(row.tokens.size());
  if (state.open && state.full(length)) state.close_shard();
  if (!state.open) state.start_shard();
  state.open->add(row, source);
  state.rows += 1;
  state.tokens += length;
}

std::int64_t ShardWriter::rows() const noexcept { return state_->rows; }
std::int64_t ShardWriter::tokens() const noexcept { return state_->tokens; }

std::vector<Path> ShardWriter::finish(const ShardMetadata& metadata) {
  State& state = *state_;
  const Path& output = state.options.output;
  require(state.rows > 0, "{}: there is no row to write", output.string());
  if (state.open) state.close_shard();
  const std::string text = metadata.to_json();
  Hasher set;
  set.add(text);
  for (const ShardFacts& facts : state.closed) set.add(facts.hash);
  const std::string set_hash = set.hex();
  const auto count = static_cast<std::int64_t>(state.closed.size());
  require(count <= 99999, "{}: {} shards are too many; raise shard_tokens", output.string(), count);
  std::vector<Path> paths;
  for (std::int64_t i = 0; i < count; ++i) {
    state.write_attributes(state.closed[static_cast<std::size_t>(i)], i, text, set_hash);
    paths.push_back(shard_path(output, i, count));
  }
  // Earlier sets go first: a crash from here on leaves an incomplete set, which the reader refuses, never a
  // mixture.
  for (const Path& path : stale_files(output, paths)) std::filesystem::remove(path);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    std::error_code error;
    std::filesystem::rename(state.closed[i].temporary, paths[i], error);
    require(!error, "{}: cannot be renamed to {}: {}", state.closed[i].temporary.string(), paths[i].string(),
            error.message());
  }
  sync_folder(output.has_parent_path() ? output.parent_path() : Path("."));
  state.temporaries.clear();
  return paths;
}

Path shard_path(const Path& output, std::int64_t index, std::int64_t count) {
  if (count == 1) return output;
  const std::string name = fmt::format("{}-{:05}-of-{:05}.h5", output.stem().string(), index, count);
  return output.parent_path() / name;
}

}  // namespace ranktune
