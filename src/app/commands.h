#pragma once

#include <functional>
#include <vector>

namespace CLI {
class App;
}

namespace ranktune {

/// A subcommand: its options are on `app`; `run` does the work once they are parsed and returns the exit
/// code.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

Command add_import(CLI::App& program);
Command add_prep(CLI::App& program);
Command add_inspect(CLI::App& program);
Command add_tokenize(CLI::App& program);
Command add_train(CLI::App& program);
Command add_generate(CLI::App& program);
Command add_chat(CLI::App& program);
Command add_export(CLI::App& program);
Command add_verify(CLI::App& program);
Command add_checkpoint(CLI::App& program);
Command add_completion(CLI::App& program);

}  // namespace ranktune
