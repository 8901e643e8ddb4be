#include "data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "data/ordered_pipeline.h"
#include "data/prep_row.h"
#include "data/record_reader.h"
#include "data/text_corpus.h"
#include "data/worker_threads.h"
#include "text/stop_tokens.h"

namespace ranktune {
namespace {

constexpr std::size_t kRecordsPerJob = 256;
constexpr std::size_t kBytesPerJob = std::size_t{1} << 20;
constexpr std::size_t kExamplesPerClass = 3;

/// Some records of one input file, or one whole text.
struct Job {
  std::size_t file = 0;
  std::vector<Record> records;
  bool text = false;
};

struct JobResult {
  std::size_t file = 0;
  std::vector<PreparedRow> rows;
};

/// The inputs one after the other. Lives in the reading thread; the hashes are taken after it ended.
class InputReader {
 public:
  InputReader(const PrepOptions& options, std::vector<Path> files)
      : options_(options), files_(std::move(files)) {
    for (const Path& file : files_) sources_.push_back({file.filename().string(), ""});
  }

  std::optional<Job> next() { return options_.format == DataFormat::kText ? next_text() : next_records(); }
  const std::vector<Path>& files() const { return files_; }
  const std::vector<ShardMetadata::Source>& sources() const { return sources_; }
  std::int64_t bytes_read() const { return done_bytes_ + open_bytes_; }

 private:
  std::optional<Job> next_records() {
    for (; current_ < files_.size(); ++current_) {
      if (!reader_) reader_.emplace(files_[current_], options_.max_record_bytes);
      Job job{.file = current_, .records = {}, .text = false};
      std::size_t bytes = 0;
      Record record;
      while (job.records.size() < kRecordsPerJob && bytes < kBytesPerJob && reader_->next(record)) {
        bytes += record.text.size();
        job.records.push_back(std::move(record));
      }
      open_bytes_ = reader_->bytes_read();
      if (!job.records.empty()) return job;
      sources_[current_].hash = reader_->hash();
      done_bytes_ += open_bytes_;
      open_bytes_ = 0;
      reader_.reset();
    }
    return std::nullopt;
  }

  std::optional<Job> next_text() {
    if (current_ == files_.size()) return std::nullopt;
    Job job{.file = current_, .records = {}, .text = true};
    job.records.push_back({.text = read_file(files_[current_]), .line = 1, .number = 1});
    sources_[current_].hash = hash_hex(job.records.front().text);
    done_bytes_ += static_cast<std::int64_t>(job.records.front().text.size());
    ++current_;
    return job;
  }

  const PrepOptions& options_;
  std::vector<Path> files_;
  std::vector<ShardMetadata::Source> sources_;
  std::size_t current_ = 0;
  std::optional<RecordReader> reader_;
  std::atomic<std::int64_t> done_bytes_ = 0, open_bytes_ = 0;
};

/// The rows of one job.
class JobWorker {
 public:
  JobWorker(const PrepContext& context, const std::vector<Path>& files)
      : context_(context), files_(files), preparer_(context) {}

  JobResult operator()(const Job& job) {
    JobResult result{.file = job.file, .rows = {}};
    if (job.text) {
      const TextPiece piece =
          read_piece(job.records.front().text, files_[job.file].filename().string(), context_.options.text);
      for (CorpusRow& row : make_rows(piece, context_.options.text)) {
        result.rows.push_back(preparer_.from_messages(std::move(row.messages), row.line));
      }
      return result;
    }
    for (const Record& record : job.records)
      result.rows.push_back(preparer_.from_json(record.text, record.line));
    return result;
  }

 private:
  const PrepContext& context_;
  const std::vector<Path>& files_;
  RowPreparer preparer_;
};

/// Takes rows in the order of the input: counts, refuses, divides, writes.
class RowCollector {
 public:
  RowCollector(const PrepContext& context, const std::vector<Path>& files, std::vector<bool> held_out)
      : context_(context),
        files_(files),
        held_out_(std::move(held_out)),
        forms_(files.size(), DataFormat::kAuto),
        train_(writer_options(context.options.output)) {
    if (!context.options.validation_output.empty())
      validation_.emplace(writer_options(context.options.validation_output));
  }

  void add(std::size_t file, PreparedRow row) {
    summary_.rows_in += 1;
    if (row.problem == RowProblem::kNone && context_.options.dedupe && !seen_.insert(row.key).second) {
      row.problem = RowProblem::kDuplicate;
      row.detail = "has the same messages as an earlier row";
    }
    const std::string where = fmt::format("{}:{}", files_[file].string(), row.line);
    if (row.problem != RowProblem::kNone) {
      note(summary_.skipped, std::string(name_of(row.problem)), where, row.detail);
      refuse_if_asked(row, where);
      return;
    }
    note_oddities(file, row, where);
    const bool validation = goes_to_validation(file, row);
    PrepOutput& output = validation ? summary_.validation : summary_.train;
    ShardWriter& writer = validation ? *validation_ : train_;
    for (const TokenRow& tokens : row.rows) {
      const auto length = static_cast<std::int64_t>(tokens.tokens.size());
      writer.add(tokens, {.file = static_cast<std::int64_t>(file), .line = row.line});
      output.rows += 1;
      output.tokens += length;
      output.supervised_tokens +=
          std::count(tokens.loss_mask.begin(), tokens.loss_mask.end(), std::uint8_t{1});
      output.longest = std::max(output.longest, length);
      output.lengths.add(length);
    }
  }

  PrepSummary finish(ShardMetadata metadata) {
    require(summary_.train.rows > 0, "there is nothing to train on. {}", summary_.text());
    require(!validation_ || summary_.validation.rows > 0,
            "no row fell to the validation set among {} rows; raise the validation fraction or leave it out",
            summary_.train.rows);
    metadata.counts = summary_.counts_json();
    if (validation_) summary_.validation.files = validation_->finish(metadata);
    summary_.train.files = train_.finish(metadata);
    return std::move(summary_);
  }

  const PrepSummary& summary() const { return summary_; }

 private:
  ShardWriterOptions writer_options(const Path& output) const {
    const PrepOptions& options = context_.options;
    return {.output = output,
            .shard_tokens = options.shard_tokens,
            .shard_rows = options.shard_rows,
            .compression = options.compression};
  }

  static void note(std::map<std::string, PrepSummary::Problem>& problems, const std::string& name,
                   const std::string& where, const std::string& detail) {
    PrepSummary::Problem& problem = problems[name];
    problem.rows += 1;
    if (problem.examples.size() >= kExamplesPerClass) return;
    problem.examples.push_back(detail.empty() ? where : where + ": " + detail);
  }

  void refuse_if_asked(const PreparedRow& row, const std::string& where) const {
    if (row.problem == RowProblem::kDuplicate) return;
    if (row.problem == RowProblem::kOverLong) {
      require(
          context_.options.over_length != OverLength::kError,
          "{}: {}; raise max_length or choose another over-length policy (drop, split, keep_end, terminate)",
          where, row.detail);
      return;
    }
    require(context_.options.on_bad_row != BadRow::kError,
            "{}: {} ({}); mend it, or leave such rows out with "
            "on_bad_row = skip",
            where, row.detail, name_of(row.problem));
  }

  void note_oddities(std::size_t file, const PreparedRow& row, const std::string& where) {
    if (row.changed) {
      note(summary_.changed, std::string(name_of(context_.options.over_length)), where, row.detail);
      summary_.lost_exchanges += row.lost_exchanges;
    }
    if (row.control_characters) note(summary_.warned, "control_characters", where, "");
    if (row.html_remains) note(summary_.warned, "html_remains", where, "");
    if (row.unfinished) note(summary_.warned, "unfinished_answer", where, "");
    if (row.end_token_missing) summary_.rows_without_end_token += 1;
    if (forms_[file] == DataFormat::kAuto) forms_[file] = row.form;
    if (forms_[file] != row.form) {
      note(summary_.warned, "other_form", where,
           fmt::format("is in {} form, the file began in {} form", name_of(row.form), name_of(forms_[file])));
    }
  }

  bool goes_to_validation(std::size_t file, const PreparedRow& row) const {
    if (!validation_) return false;
    if (context_.options.format == DataFormat::kText) return held_out_[file];
    return static_cast<double>(row.prompt_hash >> 11) * 0x1p-53 < context_.options.validation_fraction;
  }

  const PrepContext& context_;
  const std::vector<Path>& files_;
  std::vector<bool> held_out_;
  std::vector<DataFormat> forms_;  // the form of each file's first sound row
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen_;
  ShardWriter train_;
  std::optional<ShardWriter> validation_;
  PrepSummary summary_;
};

std::vector<Path> input_files(const PrepOptions& options) {
  if (options.format == DataFormat::kText) return corpus_files(options.inputs);
  for (const Path& input : options.inputs) {
    require(std::filesystem::exists(input), "{}: there is no such file", input.string());
  }
  return options.inputs;
}

std::vector<bool> held_out(const PrepOptions& options, const std::vector<Path>& files) {
  if (options.format != DataFormat::kText || options.validation_output.empty()) return {};
  std::vector<std::string> hashes;
  for (const Path& file : files) hashes.push_back(hash_file(file.string()));
  return held_out_files(hashes, options.text);
}

std::int64_t size_of_all(const std::vector<Path>& files) {
  std::int64_t total = 0;
  for (const Path& file : files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    total += error ? 0 : static_cast<std::int64_t>(size);
  }
  return total;
}

ShardMetadata make_metadata(const PrepContext& context, const std::vector<ShardMetadata::Source>& sources) {
  ShardMetadata metadata;
  metadata.tokenizer_fingerprint = context.tokenizer.fingerprint();
  metadata.template_name = context.chat_template.name();
  metadata.template_fingerprint = context.chat_template.fingerprint();
  metadata.vocabulary = context.tokenizer.vocabulary_size();
  metadata.end_of_turn = context.end_of_turn;
  metadata.max_length = context.options.max_length;
  metadata.over_length = name_of(context.options.over_length);
  metadata.sources = sources;
  return metadata;
}

/// Calls back ten times a second at most, and at the end.
class ProgressReporter {
 public:
  ProgressReporter(const PrepProgressCallback& callback, std::int64_t bytes_total)
      : callback_(callback), bytes_total_(bytes_total) {}

  void report(std::int64_t bytes_read, const PrepSummary& summary, bool last) {
    const auto now = std::chrono::steady_clock::now();
    if (!callback_ || (!last && now < next_)) return;
    next_ = now + std::chrono::milliseconds(100);
    callback_({.bytes_read = bytes_read,
               .bytes_total = bytes_total_,
               .rows_in = summary.rows_in,
               .tokens = summary.train.tokens + summary.validation.tokens});
  }

 private:
  const PrepProgressCallback& callback_;
  std::int64_t bytes_total_;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace

PrepSummary prepare(const PrepOptions& options, const PrepProgressCallback& progress) {
  options.check();
  const std::vector<Path> files = input_files(options);
  const auto tokenizer = Tokenizer::load(options.model);
  const ChatTemplate chat_template = ChatTemplate::load(options.model, options.chat_template);
  const PrepContext context{
      .options = options,
      .tokenizer = *tokenizer,
      .chat_template = chat_template,
      .end_of_turn = load_stop_tokens(options.model, *tokenizer, chat_template,
                                      options.allow_template_mismatch ? TemplateMismatch::kWarn
                                                                      : TemplateMismatch::kRefuse)
                         .end_of_turn};
  InputReader reader(options, files);
  RowCollector collector(context, files, held_out(options, files));
  ProgressReporter reporter(progress, size_of_all(files));
  const std::size_t threads = worker_threads(options.threads);
  OrderedPipeline<Job, JobResult> pipeline(threads, 4 * threads + 4);
  const auto make_worker = [&] {
    return [worker = std::make_shared<JobWorker>(context, files)](const Job& job) { return (*worker)(job); };
  };
  pipeline.run([&] { return reader.next(); }, make_worker,
               [&](JobResult result) {
                 for (PreparedRow& row : result.rows) collector.add(result.file, std::move(row));
                 reporter.report(reader.bytes_read(), collector.summary(), false);
               });
  reporter.report(reader.bytes_read(), collector.summary(), true);
  return collector.finish(make_metadata(context, reader.sources()));
}

}  // namespace ranktune
