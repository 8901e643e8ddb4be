#include <fmt/format.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>

#include "base/file.h"
#include "data/hdf5.h"
#include "data/shard_reader.h"
#include "data/shard_writer.h"
#include "sample_rows.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

void flip_byte(const Path& path, std::size_t offset) {
  std::string bytes = read_file(path);
  bytes.at(offset) = static_cast<char>(bytes.at(offset) ^ 0x5A);
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST(Shards, OneFileRoundTrip) {
  const TempDir folder;
  const auto files = write_sample(folder / "set.h5", 500);
  ASSERT_EQ(files, std::vector<Path>{folder / "set.h5"});
  const ShardReader reader(folder / "set.h5");
  ASSERT_EQ(reader.rows(), 500);
  std::int64_t tokens = 0, targets = 0, longest = 0;
  for (std::int64_t row = 0; row < 500; ++row) {
    const TokenRow expected = sample_row(row);
    EXPECT_EQ(reader.read(row), expected);
    EXPECT_EQ(reader.source(row), (RowSource{.file = 0, .line = row + 1}));
    const auto length = static_cast<std::int64_t>(expected.tokens.size());
    EXPECT_EQ(reader.length(row), length);
    tokens += length;
    longest = std::max(longest, length);
    targets += std::count(expected.loss_mask.begin(), expected.loss_mask.end(), std::uint8_t{1});
  }
  EXPECT_EQ(reader.tokens(), tokens);
  EXPECT_EQ(reader.longest(), longest);
  EXPECT_EQ(reader.supervised_tokens(), targets);
  EXPECT_EQ(reader.metadata().tokenizer_fingerprint, "tokenizer-a");
  EXPECT_EQ(reader.metadata().sources.at(0).name, "rows.jsonl");
  EXPECT_EQ(reader.metadata().counts, R"({"rows_in":3})");
}

TEST(Shards, ManyChunksRoundTrip) {
  const TempDir folder;
  write_sample(folder / "set.h5", 9000);  // more than one chunk of tokens, offsets and sources
  const ShardReader reader(folder / "set.h5");
  ASSERT_GT(reader.tokens(), 2 * kTokensPerChunk);
  for (std::int64_t row = 0; row < 9000; row += 37) EXPECT_EQ(reader.read(row), sample_row(row));
  EXPECT_EQ(reader.source(8999).line, 9000);
}

TEST(Shards, ASetIsFoundByItsNameAndByEachShard) {
  const TempDir folder;
  const auto files = write_sample(folder / "set.h5", 100, 30);
  ASSERT_EQ(files.size(), 4u);
  EXPECT_EQ(files[3].filename(), "set-00003-of-00004.h5");
  for (const Path& name : {Path(folder / "set.h5"), files[2]}) {
    const ShardReader reader(name);
    ASSERT_EQ(reader.rows(), 100);
    for (std::int64_t row = 0; row < 100; ++row) {
      EXPECT_EQ(reader.read(row), sample_row(row));
      EXPECT_EQ(reader.source(row).line, row + 1);
    }
  }
}

TEST(Shards, LimitsAreKept) {
  const TempDir folder;
  ShardWriter writer({.output = folder / "set.h5", .shard_tokens = 200, .shard_rows = 0, .compression = 0});
  for (std::int64_t i = 0; i < 60; ++i) writer.add(sample_row(i), {});
  const auto files = writer.finish(sample_metadata());
  ASSERT_GT(files.size(), 3u);
  for (const Path& file : files) {
    EXPECT_LE(Hdf5File::open(file).read_int(kTokensAttribute), 200);
  }
  EXPECT_EQ(ShardReader(folder / "set.h5").rows(), 60);
}

TEST(Shards, TheSameRowsGiveTheSameBytes) {
  const TempDir folder;
  write_sample(folder / "a.h5", 3000);
  write_sample(folder / "b.h5", 3000);
  EXPECT_EQ(read_file(folder / "a.h5"), read_file(folder / "b.h5"));
}

TEST(Shards, ReadRowsKeepsTheAskedOrderAndRepeats) {
  const TempDir folder;
  write_sample(folder / "set.h5", 50, 20);
  const ShardReader reader(folder / "set.h5");
  const std::vector<std::int64_t> wanted{49, 3, 3, 20, 0};
  const auto rows = reader.read_rows(wanted);
  ASSERT_EQ(rows.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(rows[i], sample_row(wanted[i]));
  expect_error([&] { reader.read(50); }, "row 50");
  expect_error([&] { reader.read(-1); }, "row -1");
}

TEST(Shards, NothingAppearsWithoutFinish) {
  const TempDir folder;
  {
    ShardWriter writer({.output = folder / "set.h5"});
    writer.add(sample_row(0), {});
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  ShardWriter empty({.output = folder / "set.h5"});
  expect_error([&] { empty.finish(sample_metadata()); }, "no row");
}

TEST(Shards, ANewSetReplacesTheOldOneWhole) {
  const TempDir folder;
  write_sample(folder / "set.h5", 100, 30);
  write_sample(folder / "set.h5", 10);
  EXPECT_EQ(ShardReader(folder / "set.h5").rows(), 10);
  write_sample(folder / "set.h5", 100, 50);
  EXPECT_EQ(ShardReader(folder / "set.h5").rows(), 100);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    names.insert(entry.path().filename());
  EXPECT_EQ(names, (std::set<std::string>{"set-00000-of-00002.h5", "set-00001-of-00002.h5"}));
}

TEST(Shards, MissingAndMixedShardsAreRefused) {
  const TempDir folder;
  const auto files = write_sample(folder / "set.h5", 100, 30);
  const std::string second = read_file(files[1]);
  write_sample(folder / "other.h5", 101, 30);
  std::filesystem::remove(files[1]);
  expect_error([&] { ShardReader{folder / "set.h5"}; }, "set-00001-of-00004.h5", "missing");
  std::filesystem::copy_file(folder / "other-00001-of-00004.h5", files[1]);
  expect_error([&] { ShardReader{folder / "set.h5"}; }, "set-00001-of-00004.h5", "another data set");
  std::filesystem::copy_file(files[0], files[1], std::filesystem::copy_options::overwrite_existing);
  expect_error([&] { ShardReader{folder / "set.h5"}; }, "set-00001-of-00004.h5", "renamed");
  expect_error([&] { ShardReader{folder / "nothing.h5"}; }, "nothing.h5", "ranktune prep");
}

TEST(Shards, AFlippedByteInAChunkIsNamedWithFileDatasetAndRow) {
  const TempDir folder;
  const Path path = folder / "set.h5";
  write_sample(path, 4000);
  const std::string bytes = read_file(path);
  // Chunks fill most of the file; wherever the damage falls, it must be noticed by opening or by reading.
  std::size_t in_tokens = 0, unnoticed = 0;
  for (std::size_t i = 1; i < 60; ++i) {
    flip_byte(path, bytes.size() * i / 60);
    try {
      const ShardReader reader(path);
      for (std::int64_t row = 0; row < reader.rows(); ++row) {
        if (reader.read(row) != sample_row(row) || reader.source(row).line != row + 1)
          ADD_FAILURE() << "wrong row " << row;
      }
      ++unnoticed;  // the byte belongs to no row: free space or an unused part of the file
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(path.string()), std::string::npos) << text;
      if (text.find("dataset /tokens") != std::string::npos) {
        ++in_tokens;
        EXPECT_NE(text.find("row "), std::string::npos) << text;
        EXPECT_NE(text.find("damaged"), std::string::npos) << text;
      }
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  EXPECT_GT(in_tokens, 20u);
  EXPECT_LT(unnoticed, 20u);
}

TEST(Shards, ATruncatedFileIsRefused) {
  const TempDir folder;
  const Path path = folder / "set.h5";
  write_sample(path, 4000);
  const std::string bytes = read_file(path);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes.substr(0, size);
    expect_error([&] { ShardReader{path}; }, path.string());
  }
}

TEST(Shards, OtherFilesAndVersionsAreRefused) {
  const TempDir folder;
  const Path path = folder / "set.h5";
  {
    Hdf5File file = Hdf5File::create(path);
    file.close();
  }
  expect_error([&] { ShardReader{path}; }, path.string(), "not a data set of ranktune");
  {
    Hdf5File file = Hdf5File::open_for_edit(path);
    file.write_attribute(kFormatAttribute, kShardFormatName);
    file.write_attribute(kVersionAttribute, kShardVersion + 1);
    file.close();
  }
  expect_error([&] { ShardReader{path}; }, "version 2", "version 1");
  write_file(path, "[{\"instruction\": \"a\"}]");
  expect_error([&] { ShardReader{path}; }, path.string(), "HDF5");
}

TEST(Shards, ImpossibleIdsAreRefused) {
  const TempDir folder;
  ShardWriter writer({.output = folder / "set.h5"});
  writer.add({.tokens = {1, 1000}, .loss_mask = {0, 1}}, {});
  writer.finish(sample_metadata());
  expect_error([&] { ShardReader(folder / "set.h5").read(0); }, "row 0", "1000", "vocabulary");
}

TEST(Shards, DataOfAnotherTokenizerOrTemplateIsRefused) {
  const TempDir folder;
  write_sample(folder / "set.h5", 3);
  const ShardReader reader(folder / "set.h5");
  EXPECT_NO_THROW(reader.require_made_for("tokenizer-a", "template-a"));
  expect_error([&] { reader.require_made_for("tokenizer-b", "template-a"); }, "another tokenizer", "prepare");
  expect_error([&] { reader.require_made_for("tokenizer-a", "template-b"); }, "chatml", "prepare");
}

TEST(Shards, AnUnwritableFolderIsNamed) {
  const TempDir folder;
  write_file(folder / "file", "");
  expect_error([&] { ShardWriter({.output = folder / "file" / "set.h5"}); }, (folder / "file").string());
}

/// Runs in a process of its own, where files may not grow beyond 100 KB; exits with 0 when all is as it
/// should be.
void write_more_than_fits(const Path& folder) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{.rlim_cur = 100 << 10, .rlim_max = 100 << 10};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) std::exit(2);
  try {
    write_sample(folder / "set.h5", 20000);
  } catch (const Error& error) {
    const std::string text = error.what();
    const bool named =
        text.find("set.h5") != std::string::npos && text.find("File too large") != std::string::npos;
    std::exit(named && std::filesystem::is_empty(folder) ? 0 : 3);
  }
  std::exit(4);
}

TEST(ShardsDeathTest, WhenTheDiskIsFullTheReasonIsNamedAndNothingStays) {
  const TempDir folder;
  EXPECT_EXIT(write_more_than_fits(folder.path()), ::testing::ExitedWithCode(0), "");
}

TEST(Hdf5, LongStringsAndManyAttributesSurvive) {
  const TempDir folder;
  const std::string text(200000, 'x');
  {
    Hdf5File file = Hdf5File::create(folder / "a.h5");
    file.write_attribute("long", text);
    file.write_attribute("empty", "");
    for (int i = 0; i < 20; ++i) file.write_attribute(fmt::format("n{}", i).c_str(), std::int64_t{i});
    file.close();
  }
  const Hdf5File file = Hdf5File::open(folder / "a.h5");
  EXPECT_EQ(file.read_string("long", text.size()), text);
  EXPECT_EQ(file.read_string("empty", 10), "");
  EXPECT_EQ(file.read_int("n19"), 19);
  EXPECT_FALSE(file.has_attribute("other"));
  expect_error([&] { file.read_string("long", 1000); }, "200000 bytes", "more than 1000");
  expect_error([&] { file.read_int("long"); }, "not a 64-bit integer");
  expect_error([&] { file.read_string("n1", 10); }, "not a string");
  expect_error([&] { file.read_int("other"); }, "attribute other", "missing");
}

TEST(Hdf5, AWrongTypeOrShapeIsRefused) {
  const TempDir folder;
  Hdf5File file = Hdf5File::create(folder / "a.h5");
  file.create_dataset("x", {.type = Hdf5Type::kInt32, .columns = 2, .chunk_rows = 4});
  expect_error([&] { file.open_dataset("x", Hdf5Type::kInt64, 2, 1 << 20); }, "/x", "type");
  expect_error([&] { file.open_dataset("x", Hdf5Type::kInt32, 1, 1 << 20); }, "/x", "dimensions");
  expect_error([&] { file.open_dataset("x", Hdf5Type::kInt32, 3, 1 << 20); }, "/x", "columns");
  expect_error([&] { file.open_dataset("y", Hdf5Type::kInt32, 1, 1 << 20); }, "/y", "missing");
  const Hdf5Dataset dataset = file.open_dataset("x", Hdf5Type::kInt32, 2, 1 << 20);
  std::int32_t value = 0;
  expect_error([&] { dataset.read(0, 1, &value); }, "/x", "outside");
}

/// A dataset of one column that claims 2^30 rows and stores none of them.
void claim_rows(const Path& path, const char* name) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  ASSERT_GE(H5Ldelete(file, name, H5P_DEFAULT), 0);
  const hsize_t rows = hsize_t{1} << 30, chunk = hsize_t{1} << 22;
  const hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &rows, nullptr);
  ASSERT_GE(H5Pset_chunk(list, 1, &chunk), 0);
  ASSERT_GE(H5Pset_fletcher32(list), 0);
  const hid_t dataset = H5Dcreate2(file, name, H5T_STD_I64LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
  ASSERT_GE(dataset, 0);
  H5Dclose(dataset), H5Sclose(space), H5Pclose(list);
  ASSERT_GE(H5Fclose(file), 0);
}

TEST(Hdf5, RowsThatNothingIsStoredForAreRefusedBeforeMemoryIsTaken) {
  const TempDir folder;
  write_sample(folder / "set.h5", 3);
  claim_rows(folder / "set.h5", kOffsetsDataset);
  ASSERT_LT(std::filesystem::file_size(folder / "set.h5"), 20000u);
  expect_error([&] { ShardReader{folder / "set.h5"}; }, "/offsets", "claims 8589934592 bytes",
               "0 are stored");
}

}  // namespace
}  // namespace ranktune
