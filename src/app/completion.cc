#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>

#include "app/commands.h"
#include "base/error.h"
#include "config/option.h"

namespace ranktune {
namespace {

/// Subcommands, their long options, and after --set the configuration's keys.
std::string bash_completion(const CLI::App& program) {
  std::string names, cases;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    names += " " + command->get_name();
    std::string flags;
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : option->get_lnames()) flags += " --" + name;
    cases +=
        fmt::format("    {}) words=\"{}\" ;;\n", command->get_name(), flags.substr(flags.empty() ? 0 : 1));
  }
  std::string keys;
  for (const std::string& name : option_names()) keys += " " + name + "=";
  return fmt::format(
      "_ranktune() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words\n"
      "  case ${{COMP_WORDS[1]}} in\n{}    *) words=\"{}\" ;;\n  esac\n"
      "  ((COMP_CWORD > 1)) || words=\"{}\"\n"
      "  if [[ $previous == --set ]]; then compopt -o nospace; words=\"{}\"; fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}}\n"
      "complete -o default -F _ranktune ranktune\n",
      cases, names.substr(1), names.substr(1), keys.substr(1));
}

}  // namespace

Command add_completion(CLI::App& program) {
  CLI::App* app = program.add_subcommand("completion", "Print the completion script for bash");
  app->footer("Example: ranktune completion >~/.local/share/bash-completion/completions/ranktune");
  return {app, [&program] {
            fmt::print("{}", bash_completion(program));
            return kExitDone;
          }};
}

}  // namespace ranktune
