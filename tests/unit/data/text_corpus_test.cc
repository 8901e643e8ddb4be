#include "data/text_corpus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/json.h"
#include "data/conversation.h"
#include "data/text_checks.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

std::string chinese_text() {
  std::string text = "海边的灯塔\n\n";
  for (int i = 0; i < 30; ++i) {
    text += "　　第" + std::to_string(i) +
            "天，风从北面吹来，守塔的人照旧登上石阶。他数过，一共二百一十级。“今天会有船来么？”他自己问自己，"
            "却没有回答。\n";
    if (i % 3 == 0) text += "　　夜里灯亮了。\n";
  }
  return text;
}

std::string english_text() {
  std::string text = "# The Mill\n\n";
  for (int i = 0; i < 25; ++i) {
    text += "On day " + std::to_string(i) +
            " Mr. Hale opened the sluice at 6.30 and the wheel\nbegan to turn. \"It holds,\" he said! "
            "Nobody answered him, for\nthe valley was still asleep. He waited.\n\n";
  }
  return text;
}

TEST(TextCorpus, ChinesePassagesAreTheTextItself) {
  const TextCorpusOptions options{.passage_min = 60, .passage_max = 150};
  const std::string text = chinese_text();
  const TextPiece piece = read_piece(text, "a.txt", options);
  EXPECT_EQ(piece.title, "海边的灯塔");
  EXPECT_TRUE(piece.chinese);
  ASSERT_GT(piece.passages.size(), 10u);
  for (const auto& passage : piece.passages) {
    const std::int64_t length = count_code_points(passage.text);
    EXPECT_GE(length, options.passage_min);
    EXPECT_LE(length, options.passage_max);
    std::size_t begin = 0;
    while (begin < passage.text.size()) {  // each line of it stands in the source
      const std::size_t end = std::min(passage.text.find('\n', begin), passage.text.size());
      EXPECT_NE(text.find(passage.text.substr(begin, end - begin)), std::string::npos);
      begin = end + 1;
    }
    EXPECT_TRUE(passage.text.ends_with("。"));
  }
  EXPECT_EQ(piece.passages.front().line, 3);
}

TEST(TextCorpus, HardWrappedEnglishIsJoinedAndCutAtSentences) {
  const TextPiece piece = read_piece(english_text(), "b.txt", {.passage_min = 40, .passage_max = 120});
  EXPECT_EQ(piece.title, "The Mill");
  EXPECT_FALSE(piece.chinese);
  ASSERT_GT(piece.passages.size(), 25u);
  for (const auto& passage : piece.passages) {
    EXPECT_EQ(passage.text.find("wheel\n"), std::string::npos);
    EXPECT_TRUE(passage.text.ends_with(".") || passage.text.ends_with("!")) << passage.text;
    EXPECT_FALSE(passage.text.ends_with("Mr.")) << passage.text;
    EXPECT_FALSE(passage.text.ends_with("6.")) << passage.text;
    EXPECT_LE(count_code_points(passage.text), 120);
  }
}

TEST(TextCorpus, WithoutATitleTheFileGivesIt) {
  const TextPiece piece =
      read_piece("First paragraph, which is a sentence.\n\nSecond one.", "old mill.txt", {});
  EXPECT_EQ(piece.title, "old mill");
}

TEST(TextCorpus, AnEndlessSentenceIsCutWithinItsCharacters) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "长";
  const TextPiece piece = read_piece(text, "x.txt", {.passage_min = 10, .passage_max = 100});
  ASSERT_EQ(piece.passages.size(), 5u);
  for (const auto& passage : piece.passages) EXPECT_EQ(count_code_points(passage.text), 100);
}

TEST(TextCorpus, RowsAskForEachPassageOnceAndAreSoundConversations) {
  for (const std::string& text : {chinese_text(), english_text()}) {
    const TextCorpusOptions options{.passage_min = 40, .passage_max = 120, .context_max = 100};
    const TextPiece piece = read_piece(text, "a.txt", options);
    const auto rows = make_rows(piece, options);
    std::set<std::string> passages, kinds, answers;
    for (const auto& passage : piece.passages) passages.insert(passage.text);
    for (const CorpusRow& row : rows) {
      kinds.insert(row.kind);
      answers.insert(row.messages.back().content);
      const ParsedRow parsed = ConversationParser(DataFormat::kMessages).parse(to_messages_json(row));
      EXPECT_EQ(parsed.problem, RowProblem::kNone);
      EXPECT_LE(count_code_points(row.messages.front().content), 100 + 60);
      EXPECT_EQ(row.messages.front().content.find('{'), std::string::npos);
      if (row.kind != "first_sentence") {
        EXPECT_EQ(row.messages.front().content.find(row.messages.back().content), std::string::npos);
      } else {
        EXPECT_TRUE(row.messages.back().content.starts_with(first_sentence(row.messages.back().content)));
      }
    }
    EXPECT_EQ(answers, passages);
    EXPECT_EQ(answers.size(), rows.size());
    EXPECT_EQ(rows.front().kind, "opening");
    EXPECT_GE(kinds.size(), 4u);
    EXPECT_EQ(has_control_characters(rows.front().messages.front().content), false);
    const auto again = make_rows(piece, options);
    for (std::size_t i = 0; i < rows.size(); ++i)
      EXPECT_EQ(again[i].messages[0].content, rows[i].messages[0].content);
  }
}

TEST(TextCorpus, LastPartBeginsWithASentence) {
  EXPECT_EQ(last_part("One. Two two. Three.", 16), "Two two. Three.");
  EXPECT_EQ(last_part("甲乙丙。丁戊。己庚。", 5), "己庚。");
  EXPECT_EQ(last_part("short", 10), "short");
  EXPECT_EQ(first_sentence("“来了！”他说。后来走了。"), "“来了！”");
}

class CorpusFilesTest : public ::testing::Test {
 protected:
  CorpusFilesTest() {
    std::filesystem::create_directory(folder_ / "sub");
    for (int i = 0; i < 10; ++i) {
      const Path path = i % 2 == 0 ? folder_ / ("t" + std::to_string(i) + ".txt")
                                   : folder_ / "sub" / ("t" + std::to_string(i) + ".txt");
      write_file(path, (i % 3 == 0 ? chinese_text() : english_text()) + std::to_string(i));
    }
    write_file(folder_ / "notes.md", "not a text");
  }
  TempDir folder_;
};

TEST_F(CorpusFilesTest, FilesAreFoundInDepthAndInOrder) {
  const auto files = corpus_files({folder_.path()});
  ASSERT_EQ(files.size(), 10u);
  EXPECT_TRUE(std::is_sorted(files.begin(), files.end()));
  expect_error([&] { corpus_files({folder_ / "none"}); }, "none");
}

TEST_F(CorpusFilesTest, HeldOutFilesKeepTheirShareWhateverTheOrder) {
  std::vector<std::string> hashes;
  for (int i = 0; i < 50; ++i) hashes.push_back("hash" + std::to_string(i));
  const auto held = held_out_files(hashes, {.held_out = 0.2});
  EXPECT_EQ(std::count(held.begin(), held.end(), true), 10);
  std::vector<std::string> reversed(hashes.rbegin(), hashes.rend());
  auto mirrored = held_out_files(reversed, {.held_out = 0.2});
  std::reverse(mirrored.begin(), mirrored.end());
  EXPECT_EQ(mirrored, held);
  EXPECT_NE(held_out_files(hashes, {.held_out = 0.2, .seed = 2}), held);
  const auto none = held_out_files(hashes, {.held_out = 0.0});
  EXPECT_EQ(std::count(none.begin(), none.end(), true), 0);
}

TEST_F(CorpusFilesTest, WritesJsonlWithFilesHeldOut) {
  const TextCorpusOptions options{.passage_min = 40, .passage_max = 120, .held_out = 0.2};
  const CorpusFiles counts =
      write_corpus({folder_.path()}, options, folder_ / "train.jsonl", folder_ / "held.jsonl");
  EXPECT_EQ(counts.pieces, 10);
  EXPECT_GT(counts.train_rows, counts.held_out_rows);
  EXPECT_GT(counts.held_out_rows, 0);
  const std::string train = read_file(folder_ / "train.jsonl");
  EXPECT_EQ(std::count(train.begin(), train.end(), '\n'), counts.train_rows);
  EXPECT_NO_THROW(Json::parse(train.substr(0, train.find('\n'))));
  write_corpus({folder_.path()}, options, folder_ / "again.jsonl", folder_ / "held.jsonl");
  EXPECT_EQ(read_file(folder_ / "again.jsonl"), train);
}

TEST_F(CorpusFilesTest, TextThatIsNotUtf8IsNamed) {
  write_file(folder_ / "t0.txt", "\xb9\xfa\xb1\xea");
  expect_error([&] { write_corpus({folder_.path()}, {}, folder_ / "a.jsonl", ""); }, "t0.txt", "UTF-8");
}

}  // namespace
}  // namespace ranktune
