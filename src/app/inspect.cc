#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/commands.h"
#include "base/error.h"
#include "data/describe.h"
#include "text/encode_example.h"

namespace ranktune {
namespace {

struct InspectArguments {
  std::string data, model;
  std::vector<std::int64_t> rows;
  bool json = false;
};

int run_inspect(const InspectArguments& arguments) {
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
      "inspect", "Show what a data file holds: sizes, lengths, rows with their labels");
  app->add_option("DATA", arguments->data, "NAME.h5 as `ranktune prep` wrote it")->required();
  app->add_option("--model", arguments->model, "Model folder, to show rows as text");
  app->add_option("--row", arguments->rows, "Rows to show in full, from 0");
  app->add_flag("--json", arguments->json, "The same facts as one JSON object");
  app->footer("Example: ranktune inspect train.h5 --model models/smollm2-135m-instruct --row 0 --row 7");
  return {app, [arguments] { return run_inspect(*arguments); }};
}

}  // namespace ranktune
