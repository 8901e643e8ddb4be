// A digit, then 0: a data file as it stands (HDF5); else what an HDF5 file of our layout holds: counts and
// numbers of its datasets and attributes, then its metadata (JSON).
#include <algorithm>
#include <vector>

#include "data/hdf5.h"
#include "data/shard_reader.h"
#include "fuzz.h"

using namespace ranktune;

namespace {

template <typename T>
std::vector<T> take_list(fuzz::Input& input, std::size_t columns) {
  std::vector<T> list(input.take<std::uint8_t>() * columns);
  for (T& value : list) value = input.take<T>();
  return list;
}

template <typename T>
void write_dataset(Hdf5File& file, const char* name, Hdf5Type type, std::int64_t columns,
                   const std::vector<T>& values) {
  const Hdf5File::Layout layout{.type = type, .columns = columns, .chunk_rows = 16, .compression = 1};
  Hdf5Dataset dataset = file.create_dataset(name, layout);
  if (!values.empty()) dataset.append(values.data(), static_cast<std::int64_t>(values.size()) / columns);
}

void write_shard(const Path& path, fuzz::Input input) {
  Hdf5File file = Hdf5File::create(path);
  write_dataset(file, kTokensDataset, Hdf5Type::kInt32, 1, take_list<std::int32_t>(input, 1));
  write_dataset(file, kLossMaskDataset, Hdf5Type::kUint8, 1, take_list<std::uint8_t>(input, 1));
  write_dataset(file, kOffsetsDataset, Hdf5Type::kInt64, 1, take_list<std::int64_t>(input, 1));
  write_dataset(file, kSourceDataset, Hdf5Type::kInt64, 2, take_list<std::int64_t>(input, 2));
  file.write_attribute(kFormatAttribute, kShardFormatName);
  file.write_attribute(kVersionAttribute, kShardVersion);
  for (const char* name : {kRowsAttribute, kTokensAttribute, kSupervisedAttribute, kShardIndexAttribute})
    file.write_attribute(name, input.take<std::int64_t>());
  file.write_attribute(kShardCountAttribute, std::int64_t{1});
  file.write_attribute(kSetHashAttribute, "hash");
  file.write_attribute(kMetadataAttribute, input.rest());
  file.close();
}

void read_shard(const Path& path) {
  constexpr std::int64_t kMostRows = 300;
  const ShardReader reader(path);
  for (std::int64_t row = 0; row < std::min(reader.rows(), kMostRows); ++row) {
    fuzz::may_refuse([&] {
      const TokenRow tokens = reader.read(row);
      fuzz::demand(static_cast<std::int64_t>(tokens.tokens.size()) == reader.length(row) &&
                       tokens.tokens.size() == tokens.loss_mask.size(),
                   "a row has its length");
    });
    fuzz::may_refuse([&] { reader.source(row); });
  }
  ShardMetadata::from_json(reader.metadata().to_json(), "again");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const unsigned kind = input.choice();
  fuzz::may_refuse([&] {
    const Path path = fuzz::scratch() / "set.h5";
    if (kind == 0)
      fuzz::put("set.h5", input.rest());
    else
      write_shard(path, input);
    read_shard(path);
  });
  return 0;
}
