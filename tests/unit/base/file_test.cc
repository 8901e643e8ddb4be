#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

std::vector<std::string> names_in(const Path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(ReadFile, GivesTheBytesAsTheyAre) {
  const TempDir folder;
  const std::string bytes("a\0\r\n\xff", 5);
  write_file(folder / "x", bytes);
  EXPECT_EQ(read_file(folder / "x"), bytes);
  write_file(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
}

TEST(ReadFile, NamesThePathAndTheReason) {
  const TempDir folder;
  expect_error([&] { read_file(folder / "none"); }, (folder / "none").string(), "No such file or directory");
  expect_error([&] { read_file(folder.path()); }, folder.path().string(), "is not a regular file");
}

TEST(ReadFile, RefusesMoreThanTheLimitAndTakesTheLimit) {
  const TempDir folder;
  write_file(folder / "x", "12345");
  EXPECT_EQ(read_file(folder / "x", 5), "12345");
  expect_error([&] { read_file(folder / "x", 4); }, "holds 5 bytes", "the 4 a file");
}

TEST(MappedFile, ShowsTheFileAndSurvivesItsRemoval) {
  const TempDir folder;
  write_file(folder / "x", "weights");
  const MappedFile file(folder / "x");
  std::filesystem::remove(folder / "x");
  EXPECT_EQ(file.text(), "weights");
  EXPECT_EQ(file.bytes().size(), 7U);
}

TEST(MappedFile, TakesAnEmptyFile) {
  const TempDir folder;
  write_file(folder / "x", "");
  EXPECT_TRUE(MappedFile(folder / "x").bytes().empty());
  expect_error([&] { MappedFile(folder / "none"); }, "none", "No such file");
}

TEST(MappedFile, MovesOwnership) {
  const TempDir folder;
  write_file(folder / "a", "aaa");
  write_file(folder / "b", "bb");
  MappedFile a(folder / "a");
  const std::byte* address = a.bytes().data();
  MappedFile moved(std::move(a));
  EXPECT_EQ(moved.bytes().data(), address) << "moved, not mapped again";
  MappedFile assigned(folder / "b");
  assigned = std::move(moved);
  EXPECT_EQ(assigned.text(), "aaa");
}

TEST(AtomicFile, AppearsOnlyAtCommit) {
  const TempDir folder;
  AtomicFile file(folder / "x");
  file.write("one ");
  file.write("two");
  EXPECT_EQ(file.size(), 7U);
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
  file.commit();
  EXPECT_EQ(read_file(folder / "x"), "one two");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"x"});
}

TEST(AtomicFile, LeavesTheOldFileWithoutCommit) {
  const TempDir folder;
  write_file(folder / "x", "old");
  {
    AtomicFile file(folder / "x");
    file.write("new and half wri");
  }
  EXPECT_EQ(read_file(folder / "x"), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"x"}) << "the temporary file must be gone";
}

TEST(AtomicFile, LeavesTheOldFileWhenAnExceptionPasses) {
  const TempDir folder;
  write_file(folder / "x", "old");
  expect_error(
      [&] {
        AtomicFile file(folder / "x");
        file.write("new");
        fail("stopped");
      },
      "stopped");
  EXPECT_EQ(read_file(folder / "x"), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"x"});
}

TEST(AtomicFile, ReplacesTheOldFileAndCanBeReadByOthers) {
  const TempDir folder;
  write_file(folder / "x", "old");
  write_file(folder / "x", "new");
  EXPECT_EQ(read_file(folder / "x"), "new");
  struct stat status {};
  ASSERT_EQ(::stat((folder / "x").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0644U);
}

TEST(AtomicFile, ReadersSeeOldOrNewButNeverAMixture) {
  const TempDir folder;
  write_file(folder / "x", "old");
  const MappedFile before(folder / "x");
  write_file(folder / "x", "new, longer");
  EXPECT_EQ(before.text(), "old") << "an open reader keeps the file it opened";
  EXPECT_EQ(MappedFile(folder / "x").text(), "new, longer");
}

TEST(AtomicFile, NamesThePathWhereNothingCanBeWritten) {
  const TempDir folder;
  expect_error([&] { AtomicFile(folder / "none/x"); }, "cannot write", "none/x", "No such file or directory");
  make_folders(folder / "taken");
  expect_error([&] { write_file(folder / "taken", "text"); }, "taken", "Is a directory");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"taken"}) << "the failed commit cleans up";
}

TEST(AtomicFile, ReportsAFailedWriteAndKeepsTheOldFile) {
  const TempDir folder;
  write_file(folder / "x", "old");
  // A limit on the size of files stands in for a full disk: the kernel refuses the write in the same way.
  const auto previous_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error([&] { write_file(folder / "x", std::string(10000, 'n')); }, "cannot write", "/x",
               "File too large");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, previous_handler);
  EXPECT_EQ(read_file(folder / "x"), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"x"});
}

TEST(Folders, AreMadeWithTheirParents) {
  const TempDir folder;
  make_folders(folder / "a/b/c");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
  EXPECT_NO_THROW(make_folders(folder / "a/b/c")) << "again";
  EXPECT_NO_THROW(sync_folder(folder / "a"));
  write_file(folder / "file", "");
  expect_error([&] { make_folders(folder / "file/x"); }, "cannot make folder", "file/x", "Not a directory");
  expect_error([&] { sync_folder(folder / "none"); }, "none", "No such file or directory");
}

TEST(ReplaceFolder, AnOlderOneOfTheNameIsReplacedByAWholeOneOrNotAtAll) {
  const TempDir folder;
  for (const char* text : {"one", "two"}) {
    make_folders(folder / "new");
    write_file(folder / "new/file", text);
    replace_folder(folder / "new", folder / "place");
    EXPECT_EQ(read_file(folder / "place/file"), text);
    EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"place"});
  }
  // Somebody else has removed it: what is there stays.
  expect_error([&] { replace_folder(folder / "new", folder / "place"); }, "/new", "No such file");
  EXPECT_EQ(read_file(folder / "place/file"), "two");
}

TEST(FreeBytes, AreKnownForAFolderAndRefusedForNone) {
  const TempDir folder;
  EXPECT_LE(free_bytes(folder.path()), std::filesystem::space(folder.path()).capacity);
  EXPECT_GT(free_bytes(folder.path()), 0U);
  expect_error([&] { free_bytes(folder / "none"); }, "none", "No such file or directory");
}

}  // namespace
}  // namespace ranktune
