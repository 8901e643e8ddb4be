#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/commands.h"
#include "base/error.h"
#include "base/log.h"
#include "data/prepare.h"

namespace ranktune {
namespace {

struct PrepArguments {
  PrepOptions options;
  std::vector<std::string> inputs;
  std::string output, model, validation_output, format = "auto", over_length = "drop", bad_row = "error";
  bool from_text = false;
};

void show_progress(const PrepProgress& progress) {
  if (::isatty(STDERR_FILENO) != 1) return;
  const double share = progress.bytes_total > 0 ? static_cast<double>(progress.bytes_read) /
                                                      static_cast<double>(progress.bytes_total)
                                                : 1;
  fmt::print(stderr, "\r\x1b[2Kprep {:3.0f} %  {} rows  {:.2f} M tokens", share * 100, progress.rows_in,
             static_cast<double>(progress.tokens) / 1e6);
}

int run_prep(PrepArguments& arguments) {
  PrepOptions& options = arguments.options;
  options.inputs.assign(arguments.inputs.begin(), arguments.inputs.end());
  options.output = arguments.output;
  options.model = arguments.model;
  options.validation_output = arguments.validation_output;
  options.format = arguments.from_text ? DataFormat::kText : parse_data_format(arguments.format);
  options.over_length = parse_over_length(arguments.over_length);
  options.on_bad_row = parse_bad_row(arguments.bad_row);
  const PrepSummary summary = prepare(options, show_progress);
  if (::isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r\x1b[2K");
  fmt::print("{}", summary.text());
  return kExitDone;
}

}  // namespace

Command add_prep(CLI::App& program) {
  auto arguments = std::make_shared<PrepArguments>();
  PrepOptions& o = arguments->options;
  CLI::App* app =
      program.add_subcommand("prep", "Turn conversations (JSON, JSONL, plain text) into HDF5 shards");
  app->add_option("INPUT", arguments->inputs, "Files to read; with --from-text also folders of .txt files")
      ->required();
  app->add_option("--model", arguments->model, "Model folder: its tokenizer and chat template are used")
      ->required();
  app->add_option("--output", arguments->output, "NAME.h5 to write")->required();
  app->add_option("--format", arguments->format, "auto, alpaca, sharegpt, messages or text")
      ->capture_default_str();
  app->add_option("--template", o.chat_template, "A chat template's name instead of the model's own");
  app->add_flag("--allow-template-mismatch", o.allow_template_mismatch,
                "Only warn where the template and the model's files disagree about how a turn ends");
  app->add_option("--max-length", o.max_length, "Tokens of one row at most")->capture_default_str();
  app->add_option(
         "--over-length", arguments->over_length,
         "Longer rows: drop (left out), split (between exchanges), keep_end (older turns go), terminate "
         "(the answer is cut, and closed with its end token) or error")
      ->capture_default_str();
  app->add_option("--on-bad-row", arguments->bad_row, "Rows that cannot be used: error or skip")
      ->capture_default_str();
  app->add_flag("--dedupe", o.dedupe, "Leave out rows that repeat an earlier one");
  app->add_option("--system", o.system, "System message for rows without one");
  app->add_option("--name", o.name, "What replaces {{name}}");
  app->add_option("--author", o.author, "What replaces {{author}}");
  app->add_option("--validation-fraction", o.validation_fraction, "Share of the rows held out, 0 to 0.5");
  app->add_option("--validation-output", arguments->validation_output,
                  "NAME.h5 of the rows held out; with --from-text a tenth of the files, without a fraction");
  app->add_option("--shard-tokens", o.shard_tokens, "Tokens of one file at most; 0: one file")
      ->capture_default_str();
  app->add_option("--shard-rows", o.shard_rows, "Rows of one file at most; 0: no limit")
      ->capture_default_str();
  app->add_option("--threads", o.threads, "Tokenising threads; 0: all cores")->capture_default_str();
  app->add_flag("--from-text", arguments->from_text, "Make a style-imitation set out of plain text files");
  app->footer(
      "Examples:\n"
      "  ranktune prep --model models/qwen1.5-7b-chat --output train.h5 alpaca.json sharegpt.jsonl\n"
      "  ranktune prep --model models/qwen1.5-7b-chat --output style.h5 --from-text novels/");
  return {app, [arguments] { return run_prep(*arguments); }};
}

}  // namespace ranktune
