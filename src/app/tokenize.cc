#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>

#include "app/commands.h"
#include "base/error.h"
#include "base/log.h"
#include "data/tokenize_records.h"

namespace ranktune {
namespace {

struct TokenizeArguments {
  std::string model, input = "/dev/stdin";
  TokenizeOptions options;
  bool plain = false, report = false;
};

void write_out(std::string_view text) {
  errno = 0;
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  require(written, "the output cannot be written{}", errno_text());
}

int run_tokenize(TokenizeArguments& arguments) {
  if (arguments.plain) arguments.options.specials = SpecialTokens::kAsText;
  const auto tokenizer = Tokenizer::load(arguments.model);
  const auto begin = std::chrono::steady_clock::now();
  const std::clock_t cpu_begin = std::clock();
  const TokenizeSummary done = tokenize_records(arguments.input, *tokenizer, arguments.options, write_out);
  const double cpu = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC;
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  if (arguments.report)
    log_info("{} records, {} bytes of text, {} tokens in {:.3f} s, {:.6f} s of processor time", done.records,
             done.text_bytes, done.tokens, time.count(), cpu);
  return kExitDone;
}

}  // namespace

Command add_tokenize(CLI::App& program) {
  auto arguments = std::make_shared<TokenizeArguments>();
  CLI::App* app = program.add_subcommand("tokenize", "Turn JSON lines of texts into token ids, or back");
  app->add_option("FILE", arguments->input,
                  "JSONL of {\"text\"}, with --decode of {\"ids\"}; default: stdin");
  app->add_option("--model", arguments->model, "Model folder, or any with its tokenizer's files")->required();
  CLI::Option* plain =
      app->add_flag("--plain", arguments->plain, "Special tokens written in a text are ordinary characters");
  app->add_flag("--decode", arguments->options.decode, "From ids to text")->excludes(plain);
  app->add_option("--threads", arguments->options.threads, "Tokenising threads; 0: all cores")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app->add_flag("--report", arguments->report,
                "Say on stderr how much was done in what time, loading not counted");
  app->footer(
      "The lines go to stdout, one for each of the input, in its order.\n"
      "Example: ranktune tokenize --model models/qwen2.5-7b-instruct texts.jsonl >ids.jsonl");
  return {app, [arguments] { return run_tokenize(*arguments); }};
}

}  // namespace ranktune
