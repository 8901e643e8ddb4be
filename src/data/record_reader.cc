#include "data/record_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/hash.h"

namespace ranktune {
namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;
constexpr std::string_view kBlanks = " \t\r\n";

bool is_blank(char c) { return kBlanks.find(c) != std::string_view::npos; }

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace

struct RecordReader::State {
  Path path;
  int descriptor = -1;
  std::int64_t total = 0, read = 0;
  std::size_t most;
  std::string buffer;      // bytes read and not yet given out
  std::size_t cursor = 0;  // first byte of the buffer that belongs to no record yet
  bool ended = false, array = false, array_closed = false;
  std::int64_t line = 1, number = 0;
  Hasher hasher;

  State(const Path& file, std::int64_t max_record_bytes)
      : path(file), most(static_cast<std::size_t>(max_record_bytes)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (descriptor >= 0) ::close(descriptor);
  }

  /// Reads another block behind the buffer; false at the end of the file.
  bool fill() {
    if (ended) return false;
    buffer.erase(0, cursor);
    cursor = 0;
    require(buffer.size() <= most,
            "{}:{}: this row has more than {} bytes; a quotation mark or bracket may be missing, or raise "
            "max_record_bytes",
            path.string(), line, most);
    const std::size_t old = buffer.size();
    buffer.resize(old + kBlock);
    ssize_t got = 0;
    do {
      got = ::read(descriptor, buffer.data() + old, kBlock);
    } while (got < 0 && errno == EINTR);
    require(got >= 0, "{}: cannot be read{}", path.string(), errno_text());
    buffer.resize(old + static_cast<std::size_t>(got));
    hasher.add(std::string_view(buffer).substr(old));
    read += got;
    ended = got == 0;
    return !ended;
  }

  void open() {
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    require(descriptor >= 0, "{}: cannot be opened{}", path.string(), errno_text());
    struct stat facts {};
    const bool known = ::fstat(descriptor, &facts) == 0;
    require(known, "{}: cannot be examined{}", path.string(), errno_text());
    require(!S_ISDIR(facts.st_mode), "{}: is a folder; name its files", path.string());
    total = facts.st_size;
    fill();
    const std::string_view head(buffer);
    require(!head.starts_with("\x1f\x8b") && !head.starts_with("\x28\xb5\x2f\xfd"),
            "{}: is compressed; unpack it first", path.string());
    require(!(head.size() >= 4 && (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff")) &&
              (head[2] == '\0' || head[3] == '\0')),
            "{}: is UTF-16; convert it to UTF-8 first", path.string());
    if (head.starts_with("\xef\xbb\xbf")) cursor = 3;
    const std::string extension = path.extension().string();
    if (extension == ".jsonl" || extension == ".ndjson") return;
    if (peek() == '[') {
      array = true;
      ++cursor;
    }
  }

  /// The next byte that is not blank, not taken; '\0' at the end. Counts the lines passed over.
  char peek() {
    for (;;) {
      while (cursor < buffer.size() && is_blank(buffer[cursor])) line += buffer[cursor++] == '\n' ? 1 : 0;
      if (cursor < buffer.size()) return buffer[cursor];
      if (!fill()) return '\0';
    }
  }

  void give(Record& record, std::string_view text, std::int64_t first_line) {
    record.text = trim(text);
    record.line = first_line;
    record.number = ++number;
  }

  bool next_line(Record& record) {
    if (peek() == '\0' && cursor >= buffer.size()) return false;
    std::size_t searched = 0;  // bytes after the cursor that hold no line end
    for (;;) {
      const auto end = buffer.find('\n', cursor + searched);
      if (end != std::string::npos) {
        give(record, std::string_view(buffer).substr(cursor, end - cursor), line);
        cursor = end + 1;
        ++line;
        return true;
      }
      searched = buffer.size() - cursor;
      if (fill()) continue;
      give(record, std::string_view(buffer).substr(cursor), line);
      cursor = buffer.size();
      return true;
    }
  }

  /// Length of the element that begins at the cursor: up to the comma or bracket of the array itself.
  std::size_t scan_element() {
    std::size_t length = 0;
    int depth = 0;
    bool in_string = false, escaped = false;
    for (;;) {
      for (; cursor + length < buffer.size(); ++length) {
        const char c = buffer[cursor + length];
        if (in_string) {
          in_string = escaped || c != '"';
          escaped = !escaped && c == '\\';
          continue;
        }
        if (depth == 0 && (c == ',' || c == ']')) return length;
        if (c == '"') in_string = true;
        if (c == '{' || c == '[') ++depth;
        if (c == '}' || c == ']') --depth;
      }
      require(fill(),
              "{}: ends within the element that begins in line {}; the file is cut off, or a quotation mark "
              "or bracket "
              "is missing there",
              path.string(), line);
    }
  }

  bool next_element(Record& record) {
    if (array_closed) return false;
    const char first = peek();
    if (!(first == ']' && number == 0)) {
      const std::size_t length = scan_element();
      const std::string_view text = std::string_view(buffer).substr(cursor, length);
      give(record, text, line);
      line += std::count(text.begin(), text.end(), '\n');
      cursor += length;
    }
    array_closed = buffer[cursor] == ']';
    ++cursor;
    if (!array_closed || number > 0) {
      if (array_closed) check_end();
      return true;
    }
    check_end();
    return false;
  }

  void check_end() {
    const char rest = peek();
    require(rest == '\0' && cursor >= buffer.size(),
            "{}:{}: something follows the array; a bracket too many, or several arrays in one file",
            path.string(), line);
  }
};

RecordReader::RecordReader(const Path& path, std::int64_t max_record_bytes)
    : state_(std::make_unique<State>(path, max_record_bytes)) {
  state_->open();
}

RecordReader::~RecordReader() = default;

bool RecordReader::next(Record& record) {
  return state_->array ? state_->next_element(record) : state_->next_line(record);
}

bool RecordReader::is_array() const noexcept { return state_->array; }
std::int64_t RecordReader::bytes_read() const noexcept { return state_->read; }
std::int64_t RecordReader::bytes_total() const noexcept { return state_->total; }
std::string RecordReader::hash() const { return state_->hasher.hex(); }

}  // namespace ranktune
