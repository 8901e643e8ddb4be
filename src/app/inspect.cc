#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/commands.h"
#include "app/run_folder.h"
#include "base/error.h"
#include "config/describe.h"
#include "data/consumed.h"
#include "data/describe.h"
#include "text/describe_template.h"
#include "text/stop_tokens.h"

namespace ranktune {
namespace {

struct InspectArguments {
  std::string data, model, chat_template, consumed;
  std::vector<std::int64_t> rows;
  bool json = false;
};

int show_template(const InspectArguments& arguments) {
  const auto tokenizer = Tokenizer::load(arguments.model);
  const ChatTemplate chat_template = ChatTemplate::load(arguments.model, arguments.chat_template);
  load_stop_tokens(arguments.model, *tokenizer, chat_template, TemplateMismatch::kWarn);
  fmt::print("{}", describe_template(*tokenizer, chat_template, sample_conversation(chat_template),
                                     ::isatty(STDOUT_FILENO) == 1));
  return kExitDone;
}

/// What a run's ledger proves; exit code 1 where it proves the contrary.
int show_consumed(const InspectArguments& arguments) {
  const RunFolder run{Path(arguments.consumed)};
  require(std::filesystem::exists(run.ledger()), "{} is missing; give the folder of a run (its run.dir)",
          run.ledger().string());
  const RunConfig config = config_from_json(read_json_file(run.config()), run.config().string());
  const ConsumedReport report =
      check_consumed(run.ledger(), {.seed = static_cast<std::uint64_t>(config.run.seed),
                                    .sequences_per_step = config.batch.sequences_per_step});
  fmt::print("{} steps, {} examples of a data set of {} rows\n", report.steps, report.examples,
             report.rows_of_set);
  if (report.skipped > 0) fmt::print("{} steps changed nothing (skipped)\n", report.skipped);
  for (std::size_t epoch = 0; epoch < report.epochs.size(); ++epoch) {
    const auto& [rows, whole] = report.epochs[epoch];
    fmt::print("epoch {}: {}\n", epoch,
               whole ? fmt::format("all {} rows, each exactly once", rows)
                     : fmt::format("{} of {} rows so far, each once", rows, report.rows_of_set));
  }
  for (const std::string& problem : report.problems) fmt::print("wrong: {}\n", problem);
  return report.problems.empty() ? kExitDone : kExitError;
}

int run_inspect(const InspectArguments& arguments) {
  if (!arguments.consumed.empty()) return show_consumed(arguments);
  if (!arguments.chat_template.empty()) return show_template(arguments);
  require(!arguments.data.empty(),
          "there is nothing to inspect: name a data file, or say --template or --consumed");
  const ShardReader reader{Path(arguments.data)};
  std::unique_ptr<const Tokenizer> tokenizer;
  if (!arguments.model.empty()) {
    tokenizer = Tokenizer::load(arguments.model);
    require(tokenizer->fingerprint() == reader.metadata().tokenizer_fingerprint,
            "{} was not made with the tokenizer of {}; give --model the folder it was made with",
            arguments.data, arguments.model);
  }
  DescribeOptions options;
  options.rows = arguments.rows;
  options.colours = ::isatty(STDOUT_FILENO) == 1;
  fmt::print("{}\n", arguments.json ? describe_data_json(reader, tokenizer.get(), options)
                                    : describe_data(reader, tokenizer.get(), options));
  return kExitDone;
}

}  // namespace

Command add_inspect(CLI::App& program) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* app = program.add_subcommand(
      "inspect", "Show what a data file holds (sizes, lengths, rows with their labels), or a chat template");
  CLI::Option* data = app->add_option("DATA", arguments->data, "NAME.h5 as `ranktune prep` wrote it");
  CLI::Option* model = app->add_option("--model", arguments->model, "Model folder, to show rows as text");
  CLI::Option* rows = app->add_option("--row", arguments->rows, "Rows to show in full, from 0");
  CLI::Option* json = app->add_flag("--json", arguments->json, "The same facts as one JSON object");
  app->add_option("--template", arguments->chat_template,
                  "Instead of data, a sample conversation token by token, with the labels; NAME: in another "
                  "template than the model's own")
      ->expected(0, 1)
      ->type_name("[NAME]")
      ->default_str("auto")
      ->needs(model)
      ->excludes(data)
      ->excludes(rows)
      ->excludes(json);
  app->add_option(
         "--consumed", arguments->consumed,
         "Instead of data, a run's folder: which rows it trained on; exit code 1 unless every row came "
         "exactly once an epoch")
      ->type_name("RUN")
      ->excludes(data)
      ->excludes(model);
  app->footer(
      "Examples:\n"
      "  ranktune inspect --consumed runs/x\n"
      "  ranktune inspect train.h5 --model models/smollm2-135m-instruct --row 0 --row 7\n"
      "  ranktune inspect --template --model models/smollm2-135m-instruct");
  return {app, [arguments] { return run_inspect(*arguments); }};
}

}  // namespace ranktune
