#include "data/shard_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <regex>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "data/hdf5.h"

namespace ranktune {
namespace {

/// Memory for uncompressed chunks of a whole set, and at least that of one shard.
constexpr std::size_t kCacheBytes = std::size_t{64} << 20;
constexpr std::size_t kLeastCacheBytes = std::size_t{1} << 20;
constexpr std::size_t kMostMetadataBytes = std::size_t{64} << 20;
constexpr std::int64_t kMostRowTokens = std::int64_t{1} << 24;

struct ShardName {
  std::string stem;
  std::int64_t count = 0;
};

/// "NAME-00001-of-00004.h5" taken apart; count 0 for other names.
ShardName parse_shard_name(const Path& path) {
  static const std::regex pattern("(.*)-([0-9]{5})-of-([0-9]{5})\\.h5");
  std::smatch match;
  const std::string name = path.filename().string();
  if (!std::regex_match(name, match, pattern)) return {};
  return {match[1].str(), std::stoll(match[3].str())};
}

std::vector<Path> files_of_set(const Path& output, std::int64_t count) {
  std::vector<Path> files;
  for (std::int64_t i = 0; i < count; ++i) {
    files.push_back(shard_path(output, i, count));
    require(std::filesystem::exists(files.back()), "{}: is missing; the data set has {} shards",
            files.back().string(), count);
  }
  return files;
}

/// The files of the set that `path` names.
std::vector<Path> find_files(const Path& path) {
  const ShardName own = parse_shard_name(path);
  if (own.count > 0) return files_of_set(path.parent_path() / (own.stem + ".h5"), own.count);
  std::vector<std::int64_t> counts;
  const Path folder = path.has_parent_path() ? path.parent_path() : Path(".");
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const ShardName name = parse_shard_name(entry.path());
    if (name.count > 0 && name.stem == path.stem().string()) counts.push_back(name.count);
  }
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  const bool single = std::filesystem::is_regular_file(path, error);
  require(single || !counts.empty(), "{}: there is no such data set; make it with `ranktune prep`",
          path.string());
  require(counts.size() + (single ? 1 : 0) == 1,
          "{}: several data sets of this name lie there; remove the ones that are not wanted", path.string());
  return single ? std::vector<Path>{path} : files_of_set(path, counts.front());
}

struct Shard {
  Hdf5File file;
  Hdf5Dataset tokens, loss_mask, source;
  std::vector<std::int64_t> offsets;
  std::int64_t first_row = 0;
  std::string metadata, set_hash;
  std::int64_t supervised = 0;

  std::int64_t rows() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::string where() const { return file.path().string(); }
};

void check_format(const Hdf5File& file) {
  const std::string where = file.path().string();
  require(file.has_attribute(kFormatAttribute) && file.has_attribute(kVersionAttribute),
          "{}: is HDF5, but not a data set of ranktune; make one with `ranktune prep`", where);
  const std::string format = file.read_string(kFormatAttribute, 256);
  require(format == kShardFormatName, "{}: holds \"{}\", not \"{}\"", where, format, kShardFormatName);
  const std::int64_t version = file.read_int(kVersionAttribute);
  require(
      version == kShardVersion,
      "{}: has format version {}, this program reads version {}; prepare the data again with this program",
      where, version, kShardVersion);
}

void read_offsets(Shard& shard, std::int64_t max_length) {
  const Hdf5Dataset offsets = shard.file.open_dataset(kOffsetsDataset, Hdf5Type::kInt64, 1, kLeastCacheBytes);
  require(offsets.rows() >= 2, "{}: holds no row", offsets.where());
  shard.offsets.resize(static_cast<std::size_t>(offsets.rows()));
  offsets.read(0, offsets.rows(), shard.offsets.data());
  require(shard.offsets.front() == 0, "{}: begins with {} instead of 0", offsets.where(),
          shard.offsets.front());
  require(shard.offsets.back() == shard.tokens.rows(), "{}: ends at {}, but there are {} tokens",
          offsets.where(), shard.offsets.back(), shard.tokens.rows());
  for (std::size_t i = 1; i < shard.offsets.size(); ++i) {
    require(shard.offsets[i] > shard.offsets[i - 1] && shard.offsets[i] - shard.offsets[i - 1] <= max_length,
            "{}: row {} runs from {} to {}; rows have 1 .. {} tokens", offsets.where(), i - 1,
            shard.offsets[i - 1], shard.offsets[i], max_length);
  }
}

Shard open_shard(const Path& path, std::int64_t index, std::int64_t count) {
  Shard shard;
  shard.file = Hdf5File::open(path);
  check_format(shard.file);
  const std::string where = shard.where();
  const std::int64_t own_index = shard.file.read_int(kShardIndexAttribute);
  const std::int64_t own_count = shard.file.read_int(kShardCountAttribute);
  require(own_index == index && own_count == count, "{}: was written as shard {} of {}; it has been renamed",
          where, own_index, own_count);
  const std::size_t cache = std::max(kLeastCacheBytes, kCacheBytes / static_cast<std::size_t>(count));
  shard.tokens = shard.file.open_dataset(kTokensDataset, Hdf5Type::kInt32, 1, cache);
  shard.loss_mask = shard.file.open_dataset(kLossMaskDataset, Hdf5Type::kUint8, 1, cache / 4);
  shard.source = shard.file.open_dataset(kSourceDataset, Hdf5Type::kInt64, 2, kLeastCacheBytes);
  shard.metadata = shard.file.read_string(kMetadataAttribute, kMostMetadataBytes);
  shard.set_hash = shard.file.read_string(kSetHashAttribute, 256);
  shard.supervised = shard.file.read_int(kSupervisedAttribute);
  const std::int64_t max_length = ShardMetadata::from_json(shard.metadata, where + ": metadata").max_length;
  require(max_length > 0 && max_length <= kMostRowTokens, "{}: max_length {} is out of range", where,
          max_length);
  read_offsets(shard, max_length);
  const std::int64_t tokens = shard.file.read_int(kTokensAttribute);
  require(shard.tokens.rows() == tokens && shard.loss_mask.rows() == tokens,
          "{}: has {} tokens and {} marks, its attribute says {}", where, shard.tokens.rows(),
          shard.loss_mask.rows(), tokens);
  const std::int64_t rows = shard.file.read_int(kRowsAttribute);
  require(shard.rows() == rows && shard.source.rows() == rows,
          "{}: has {} rows and {} sources, its attribute says {}", where, shard.rows(), shard.source.rows(),
          rows);
  require(shard.supervised >= 0 && shard.supervised <= tokens, "{}: {} targets among {} tokens", where,
          shard.supervised, tokens);
  return shard;
}

}  // namespace

struct ShardReader::State {
  std::vector<Path> files;
  std::vector<Shard> shards;
  ShardMetadata metadata;
  std::int64_t rows = 0, tokens = 0, supervised = 0, longest = 0;

  std::pair<const Shard&, std::size_t> find(std::int64_t row) const {
    if (row < 0 || row >= rows)
      fail("{}: row {} does not exist, there are {}", files.front().string(), row, rows);
    const auto after =
        std::upper_bound(shards.begin(), shards.end(), row,
                         [](std::int64_t r, const Shard& shard) { return r < shard.first_row; });
    const Shard& shard = *(after - 1);
    return {shard, static_cast<std::size_t>(row - shard.first_row)};
  }
};

ShardReader::ShardReader(const Path& path) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.files = find_files(path);
  const auto count = static_cast<std::int64_t>(state.files.size());
  for (std::int64_t i = 0; i < count; ++i) {
    Shard shard = open_shard(state.files[static_cast<std::size_t>(i)], i, count);
    shard.first_row = state.rows;
    state.rows += shard.rows();
    state.tokens += shard.tokens.rows();
    state.supervised += shard.supervised;
    for (std::size_t r = 1; r < shard.offsets.size(); ++r) {
      state.longest = std::max(state.longest, shard.offsets[r] - shard.offsets[r - 1]);
    }
    require(state.shards.empty() || (shard.set_hash == state.shards.front().set_hash &&
                                     shard.metadata == state.shards.front().metadata),
            "{}: belongs to another data set than {}; prepare the data again", shard.where(),
            state.files.front().string());
    state.shards.push_back(std::move(shard));
  }
  state.metadata = ShardMetadata::from_json(state.shards.front().metadata, path.string() + ": metadata");
}

ShardReader::~ShardReader() = default;
ShardReader::ShardReader(ShardReader&&) noexcept = default;
ShardReader& ShardReader::operator=(ShardReader&&) noexcept = default;

const ShardMetadata& ShardReader::metadata() const noexcept { return state_->metadata; }
const std::vector<Path>& ShardReader::files() const noexcept { return state_->files; }
const std::string& ShardReader::set_hash() const noexcept { return state_->shards.front().set_hash; }
std::int64_t ShardReader::rows() const noexcept { return state_->rows; }
std::int64_t ShardReader::tokens() const noexcept { return state_->tokens; }
std::int64_t ShardReader::supervised_tokens() const noexcept { return state_->supervised; }
std::int64_t ShardReader::longest() const noexcept { return state_->longest; }

std::int64_t ShardReader::length(std::int64_t row) const {
  const auto [shard, local] = state_->find(row);
  return shard.offsets[local + 1] - shard.offsets[local];
}

TokenRow ShardReader::read(std::int64_t row) const {
  const auto [shard, local] = state_->find(row);
  const std::int64_t first = shard.offsets[local];
  const std::int64_t length = shard.offsets[local + 1] - first;
  TokenRow result;
  result.tokens.resize(static_cast<std::size_t>(length));
  result.loss_mask.resize(static_cast<std::size_t>(length));
  try {
    shard.tokens.read(first, length, result.tokens.data());
    shard.loss_mask.read(first, length, result.loss_mask.data());
  } catch (const Error& error) {
    fail("row {}: {}", row, error.what());
  }
  const std::int64_t vocabulary = state_->metadata.vocabulary;
  for (std::size_t i = 0; i < result.tokens.size(); ++i) {
    if (result.tokens[i] < 0 || result.tokens[i] >= vocabulary || result.loss_mask[i] > 1)
      fail("{}: row {}: token {} with mark {} at {} is impossible, the vocabulary has {}", shard.where(), row,
           result.tokens[i], result.loss_mask[i], i, vocabulary);
  }
  return result;
}

RowSource ShardReader::source(std::int64_t row) const {
  const auto [shard, local] = state_->find(row);
  std::int64_t place[2] = {};
  shard.source.read(static_cast<std::int64_t>(local), 1, place);
  require(place[0] >= 0 && place[0] < static_cast<std::int64_t>(state_->metadata.sources.size()),
          "{}: row {}: source file {} is not in its list", shard.where(), row, place[0]);
  return {.file = place[0], .line = place[1]};
}

std::vector<TokenRow> ShardReader::read_rows(std::span<const std::int64_t> rows) const {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rows[a] < rows[b]; });
  std::vector<TokenRow> result(rows.size());
  for (const std::size_t i : order) result[i] = read(rows[i]);
  return result;
}

void ShardReader::require_made_for(std::string_view tokenizer_fingerprint,
                                   std::string_view template_fingerprint) const {
  const ShardMetadata& made = state_->metadata;
  const std::string where = state_->files.front().string();
  require(made.tokenizer_fingerprint == tokenizer_fingerprint,
          "{}: was made with another tokenizer ({}) than this model's ({}); prepare the data again with this "
          "model",
          where, made.tokenizer_fingerprint, tokenizer_fingerprint);
  require(made.template_fingerprint == template_fingerprint,
          "{}: was made with the chat template \"{}\" ({}), the run uses another one ({}); prepare the data "
          "again, or "
          "choose that template",
          where, made.template_name, made.template_fingerprint, template_fingerprint);
}

}  // namespace ranktune
