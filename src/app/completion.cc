#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "app/commands.h"
#include "base/error.h"
#include "config/option.h"

namespace ranktune {
namespace {

/// "auto none" of an option whose type reads "TEXT:{auto,none}"; "" where any text goes.
std::string allowed_words(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t begin = type.find('{'), end = type.find('}');
  if (begin == type.npos || end == type.npos) return "";
  std::string words = type.substr(begin + 1, end - begin - 1);
  for (char& character : words)
    if (character == ',') character = ' ';
  return words;
}

/// One case of the script's first decision: the words that may follow an option which takes a value. No words
/// leave it to bash, which then completes file names.
std::string value_case(const std::string& command, const CLI::Option& option) {
  if (option.get_items_expected_max() == 0 || option.get_lnames().empty()) return "";
  return fmt::format("    {}:--{}) words=\"{}\" ;;\n", command, option.get_lnames().front(),
                     allowed_words(option));
}

/// The script: subcommands first; then an option's values, the configuration's keys after --set, a
/// subcommand's options where a dash was typed, and else file names.
std::string bash_completion(const CLI::App& program) {
  std::vector<std::string> names;
  std::string values, flags;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
    std::vector<std::string> long_names;
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) long_names.push_back("--" + name);
      if (!option->check_lname("set")) values += value_case(names.back(), *option);
    }
    flags += fmt::format("    {}:-*) words=\"{}\" ;;\n", names.back(), fmt::join(long_names, " "));
  }
  return fmt::format(
      "_ranktune() {{\n"
      "  local command=${{COMP_WORDS[1]}} current=${{COMP_WORDS[COMP_CWORD]}} "
      "previous=${{COMP_WORDS[COMP_CWORD-1]}} words=''\n"
      "  if ((COMP_CWORD == 1)); then words=\"{} --help --version\"\n"
      "  else case $command:$previous in\n"
      "{}"
      "    *:--set) words=\"{}=\"; compopt -o nospace ;;\n"
      "    *) case $command:$current in\n"
      "{}"
      "    completion:*) words=bash ;;\n"
      "    esac ;;\n"
      "  esac; fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}}\n"
      "complete -o default -F _ranktune ranktune\n",
      fmt::join(names, " "), values, fmt::join(option_names(), "= "), flags);
}

}  // namespace

Command add_completion(CLI::App& program) {
  auto shell = std::make_shared<std::string>("bash");
  CLI::App* app = program.add_subcommand("completion", "Print the completion script of a shell");
  app->add_option("SHELL", *shell, "The shell")->check(CLI::IsMember({"bash"}))->capture_default_str();
  app->footer(
      "Examples:\n  source <(ranktune completion bash)\n"
      "  ranktune completion bash >~/.local/share/bash-completion/completions/ranktune");
  return {app, [&program, shell] {
            fmt::print("{}", bash_completion(program));
            return kExitDone;
          }};
}

}  // namespace ranktune
