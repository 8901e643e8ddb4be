#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/error_text.h"
#include "app/version.h"
#include "base/error.h"
#include "base/log.h"

namespace ranktune {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done, 1 error, 2 wrong usage, 75 interrupted with a checkpoint (run the same command "
    "again), 76 another start of the run has taken it over.\n"
    "`ranktune COMMAND --help` shows a command's options and examples.";

/// What was printed may still be on its way: a full disk must not look like success.
int flushed(int code) {
  errno = 0;
  // Apart from the line that tells: the order in which arguments are computed is not fixed.
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  require(written, "the output cannot be written{}", errno_text());
  return code;
}

int run_program(int argc, char** argv) {
  CLI::App program{"Fine-tunes chat models with LoRA on MPI clusters.", "ranktune"};
  program.footer(kFooter);
  program.require_subcommand(1);
  program.set_version_flag("--version", version_text, "Versions of the program and its libraries");
  const std::vector<Command> commands{add_prep(program),       add_train(program),     add_generate(program),
                                      add_chat(program),       add_export(program),    add_import(program),
                                      add_inspect(program),    add_tokenize(program),  add_verify(program),
                                      add_checkpoint(program), add_completion(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    // CLI11 prints help and version itself; everything else is wrong usage.
    return program.exit(problem) == 0 ? kExitDone : kExitUsage;
  }
  for (const Command& command : commands)
    if (command.app->parsed()) return flushed(command.run());
  return kExitUsage;
}

}  // namespace
}  // namespace ranktune

int main(int argc, char** argv) {
  try {
    return ranktune::run_program(argc, argv);
  } catch (const ranktune::Error& error) {
    ranktune::log_error("{}", error.what());
    return ranktune::exit_code(error.kind());
  } catch (const std::exception& error) {
    ranktune::log_error("{}", ranktune::error_text(error));
    return ranktune::kExitError;
  }
}
