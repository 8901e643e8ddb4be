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

std::vector<const CLI::App*> subcommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

/// What the script decides by: commands, and "command/action" of those that have actions.
struct Cases {
  std::vector<std::string> names, with_actions;
  std::string values, flags;

  void add(const std::string& name, const CLI::App& command) {
    if (name.find('/') == name.npos) names.push_back(name);
    if (!subcommands(command).empty()) with_actions.push_back(name);
    std::vector<std::string> long_names;
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& long_name : option->get_lnames()) long_names.push_back("--" + long_name);
      if (!option->check_lname("set")) values += value_case(name, *option);
    }
    flags += fmt::format("    {}:-*) words=\"{}\" ;;\n", name, fmt::join(long_names, " "));
  }
};

/// The script: subcommands and their actions first; then an option's values, the configuration's keys after
/// --set, a subcommand's options where a dash was typed, and else file names.
std::string bash_completion(const CLI::App& program) {
  Cases cases;
  std::string actions;
  for (const CLI::App* command : subcommands(program)) {
    const std::string& name = command->get_name();
    cases.add(name, *command);
    std::vector<std::string> action_names;
    for (const CLI::App* action : subcommands(*command)) {
      action_names.push_back(action->get_name());
      cases.add(name + "/" + action->get_name(), *action);
    }
    if (action_names.empty()) continue;
    actions += fmt::format("  elif [[ $command == {} ]] && ((COMP_CWORD == 2)); then words=\"{} --help\"\n",
                           name, fmt::join(action_names, " "));
  }
  return fmt::format(
      "_ranktune() {{\n"
      "  local command=${{COMP_WORDS[1]}} current=${{COMP_WORDS[COMP_CWORD]}} "
      "previous=${{COMP_WORDS[COMP_CWORD-1]}} words=''\n"
      "  case $command in {}) ((COMP_CWORD > 2)) && command+=/${{COMP_WORDS[2]}} ;; esac\n"
      "  if ((COMP_CWORD == 1)); then words=\"{} --help --version\"\n"
      "{}"
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
      fmt::join(cases.with_actions, "|"), fmt::join(cases.names, " "), actions, cases.values,
      fmt::join(option_names(), "= "), cases.flags);
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
