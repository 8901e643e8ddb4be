#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <memory>
#include <optional>

#include "app/commands.h"
#include "app/error_text.h"
#include "app/run_options.h"
#include "app/training_run.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "comm/exit_guard.h"
#include "comm/launch_environment.h"
#include "comm/make_communicator.h"
#include "comm/mpi_session.h"
#include "comm/watchdog.h"
#include "config/check_config.h"
#include "config/describe.h"
#include "config/load_config.h"
#include "train/stop_signal.h"

namespace ranktune {
namespace {

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides, faults;
  std::string resume = "auto";
  bool print_config = false, allow_template_mismatch = false;
};

/// What this rank reads by itself, before it knows of others.
struct OwnArguments {
  LoadedConfig config;
  std::vector<Fault> faults;
  std::exception_ptr error;  ///< where any of it is wrong

  explicit OwnArguments(const TrainArguments& given) {
    try {
      config = load_config(Path(given.config), given.overrides);
      for (const std::string& text : given.faults) faults.push_back(parse_fault(text));
    } catch (...) {
      error = std::current_exception();
    }
  }
};

/// All ranks must have read alike.
void agree(const MpiSession& session, Watchdog& watchdog, const OwnArguments& own, const std::string& file) {
  const CommOptions comm = comm_options(own.config.values);
  const auto control = make_control_communicator(session, comm, watchdog.activity());
  together(*control, [&] {
    if (own.error) std::rethrow_exception(own.error);
  });
  const auto texts = all_gather_strings(*control, to_json(own.config.values).dump());
  const auto other = std::find_if(texts.begin(), texts.end(), [&](const auto& t) { return t != texts[0]; });
  if (other == texts.end()) return;
  throw AgreedError(fmt::format(
      "rank {} on host {} reads another configuration than rank 0: give all of them the same {} and --set",
      other - texts.begin(), session.hosts()[static_cast<std::size_t>(other - texts.begin())], file));
}

/// Ends this process where other ranks do not come to MPI_Init in time, before a watchdog can.
void guard_start(std::optional<ExitGuard>& guard, double seconds) {
  const int rank = launched_rank(process_environment());
  guard.emplace(
      seconds + ExitGuard::turn(rank),
      fmt::format("rank {} on host {} has waited {:.0f} s (comm.timeout) for the start of all ranks: "
                  "another one hangs, or did not start; ending the job",
                  rank, host_name(), seconds));
}

/// Errors that every rank meets alike (they throw the same text) are said once, by rank 0; an error of one
/// rank alone ends the job, because the others wait for it.
int run_in_job(const TrainArguments& arguments) {
  const StopSignal stop_signal;  // first: a signal during the start is a request to stop, too
  const OwnArguments own(arguments);
  const CommOptions comm = comm_options(own.config.values);
  std::optional<ExitGuard> guard;
  guard_start(guard, comm.timeout);
  MpiSession session;
  session.set_patience(comm.timeout);
  set_log_rank(session.rank(), session.size());
  try {
    Watchdog watchdog(session, comm);
    guard.reset();
    agree(session, watchdog, own, arguments.config);
    TrainingRunOptions options{.resume = arguments.resume == "auto",
                               .allow_template_mismatch = arguments.allow_template_mismatch,
                               .faults = own.faults};
    for (const auto& [key, origin] : own.config.origins) options.given.insert(key);
    return run_training(session, watchdog, own.config.values, options);
  } catch (const AgreedError& error) {
    if (session.rank() == 0) log_error("{}", error.what());
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    log_error("{}", training_error_text(error));
    if (session.size() > 1) MpiSession::end_job(kExitError);
    return kExitError;
  }
}

}  // namespace

Command add_train(CLI::App& program) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* app =
      program.add_subcommand("train", "Fine-tune a model; start it with mpirun or srun for several ranks");
  app->add_option("CONFIG", arguments->config, "TOML file")->required();
  app->add_option("--set", arguments->overrides, "key=value, over the file's value; may be repeated")
      ->allow_extra_args(false);
  app->add_option(
         "--resume", arguments->resume,
         "auto: go on from the newest valid checkpoint in run.dir; none: refuse a run.dir that has any")
      ->check(CLI::IsMember({"auto", "none"}))
      ->capture_default_str();
  app->add_flag("--allow-template-mismatch", arguments->allow_template_mismatch,
                "Only warn where the template and the model's files disagree about how a turn ends");
  app->add_flag("--print-config", arguments->print_config,
                "Show every key with value, origin and meaning, and stop");
  app->add_option("--inject", arguments->faults,
                  "KIND[:rank=R,step=N,phase=P,attempt=A]: let a rank fail on purpose, to try what becomes "
                  "of the job; may "
                  "be repeated")
      ->allow_extra_args(false);
  app->footer(
      "Examples:\n"
      "  mpirun -n 2 ranktune train configs/quickstart.toml\n"
      "  srun --mpi=pmix ranktune train configs/qwen1.5_7b_chat_advised.toml --set optimizer.lr=5e-5\n"
      "  mpirun -n 2 ranktune train configs/quickstart.toml --inject kill:rank=1,step=40\n\n" +
      fault_help());
  return {app, [arguments] {
            if (!arguments->print_config) return run_in_job(*arguments);
            const LoadedConfig config = read_config(Path(arguments->config), arguments->overrides);
            fmt::print("{}", describe(config));
            check_config(config);
            return kExitDone;
          }};
}

}  // namespace ranktune
