#include "data/tokenize_records.h"

#include <simdjson.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/ordered_pipeline.h"
#include "data/record_reader.h"
#include "data/worker_threads.h"
#include "text/unicode.h"

namespace ranktune {
namespace {

constexpr std::size_t kBytesPerJob = std::size_t{256} << 10;

struct Job {
  std::vector<Record> records;
};

struct JobResult {
  std::string lines;
  TokenizeSummary summary;
};

std::optional<Job> next_job(RecordReader& reader) {
  Job job;
  Record record;
  for (std::size_t bytes = 0; bytes < kBytesPerJob && reader.next(record);) {
    bytes += record.text.size();
    job.records.push_back(std::move(record));
  }
  if (job.records.empty()) return std::nullopt;
  return job;
}

void append_number(std::string& line, std::int32_t number) {
  std::array<char, 12> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  line.append(digits.data(), end);
}

/// Turns records into lines. One per thread.
class Worker {
 public:
  Worker(const Path& input, const Tokenizer& tokenizer, const TokenizeOptions& options)
      : input_(input), tokenizer_(tokenizer), options_(options) {}

  JobResult operator()(const Job& job) {
    JobResult result;
    for (const Record& record : job.records) {
      line_ = record.line;
      const simdjson::dom::element row = parse(record.text);
      if (options_.decode) {
        decode(row, result);
      } else {
        encode(row, result);
      }
      result.summary.records += 1;
    }
    return result;
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}:{}: {}", input_.string(), line_, fmt::format(format, std::forward<Args>(args)...));
  }

  simdjson::dom::element parse(std::string_view record) {
    padded_.assign(record);
    padded_.append(simdjson::SIMDJSON_PADDING, ' ');
    simdjson::dom::element row;
    const auto error = parser_.parse(padded_.data(), record.size(), false).get(row);
    if (error != simdjson::SUCCESS)
      refuse("is not JSON in UTF-8 ({}); every line is an object such as {}", simdjson::error_message(error),
             options_.decode ? R"({"ids": [1, 2]})" : R"({"text": "..."})");
    return row;
  }

  simdjson::dom::element value_of(simdjson::dom::element row) const {
    const char* key = options_.decode ? "ids" : "text";
    simdjson::dom::element value;
    if (row.at_key(key).get(value) != simdjson::SUCCESS)
      refuse("is not an object with \"{}\": {}", key, shown(row));
    return value;
  }

  static std::string shown(simdjson::dom::element value) {
    const std::string text = simdjson::minify(value);
    return text.size() <= 60 ? text : replace_invalid_utf8(text.substr(0, 60)) + "…";
  }

  void encode(simdjson::dom::element row, JobResult& result) {
    std::string_view text;
    const simdjson::dom::element value = value_of(row);
    if (value.get_string().get(text) != simdjson::SUCCESS)
      refuse("\"text\" is not a string: {}", shown(value));
    ids_.clear();
    tokenizer_.encode(text, options_.specials, ids_);
    result.lines += R"({"ids":[)";
    for (const std::int32_t id : ids_) {
      append_number(result.lines, id);
      result.lines += ',';
    }
    if (!ids_.empty()) result.lines.pop_back();
    result.lines += "]}\n";
    count(text.size(), result);
  }

  void decode(simdjson::dom::element row, JobResult& result) {
    simdjson::dom::array list;
    const simdjson::dom::element value = value_of(row);
    if (value.get_array().get(list) != simdjson::SUCCESS) refuse("\"ids\" is not a list: {}", shown(value));
    ids_.clear();
    for (const simdjson::dom::element entry : list) {
      std::int64_t id = -1;
      if (entry.get_int64().get(id) != simdjson::SUCCESS || id < 0 || id >= tokenizer_.vocabulary_size())
        refuse("entry {} of \"ids\" is {}; ids of this tokenizer are integers from 0 to {}", ids_.size() + 1,
               shown(entry), tokenizer_.vocabulary_size() - 1);
      ids_.push_back(static_cast<std::int32_t>(id));
    }
    const std::string text = replace_invalid_utf8(tokenizer_.decode(ids_));
    result.lines += R"({"text":)" + Json(text).dump() + "}\n";
    count(text.size(), result);
  }

  void count(std::size_t text_bytes, JobResult& result) const {
    result.summary.text_bytes += static_cast<std::int64_t>(text_bytes);
    result.summary.tokens += static_cast<std::int64_t>(ids_.size());
  }

  const Path& input_;
  const Tokenizer& tokenizer_;
  const TokenizeOptions& options_;
  simdjson::dom::parser parser_;
  std::string padded_;
  std::vector<std::int32_t> ids_;
  std::int64_t line_ = 0;
};

}  // namespace

TokenizeSummary tokenize_records(const Path& input, const Tokenizer& tokenizer,
                                 const TokenizeOptions& options,
                                 const std::function<void(std::string_view)>& write) {
  RecordReader reader(input, options.max_record_bytes);
  TokenizeSummary summary;
  const std::size_t threads = worker_threads(options.threads);
  OrderedPipeline<Job, JobResult> pipeline(threads, 2 * threads + 2);
  const auto make_worker = [&] {
    return [worker = std::make_shared<Worker>(input, tokenizer, options)](const Job& job) {
      return (*worker)(job);
    };
  };
  pipeline.run([&] { return next_job(reader); }, make_worker,
               [&](const JobResult& result) {
                 write(result.lines);
                 summary.records += result.summary.records;
                 summary.text_bytes += result.summary.text_bytes;
                 summary.tokens += result.summary.tokens;
               });
  return summary;
}

}  // namespace ranktune
