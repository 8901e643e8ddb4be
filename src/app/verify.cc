#include "verify/verify.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "app/commands.h"
#include "app/core_share.h"
#include "app/error_text.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "comm/mpi_session.h"
#include "model/load_model.h"
#include "tensor/reproducible.h"

namespace ranktune {
namespace {

struct VerifyArguments {
  std::vector<std::string> folders;
  std::string tokenizers, models = "models", device = "auto", dtype = "fp32";
  bool failures_only = false;
};

int summarise(const Records& records, const Findings& findings, double seconds) {
  const std::size_t all = findings.figures().size(), failed = findings.failed();
  fmt::print("{} figures of {} models, {} GGUF models and {} text files: {} passed, {} failed ({:.0f} s)\n",
             all, records.models.size(), records.ggufs.size(), records.texts.size(), all - failed, failed,
             seconds);
  return failed == 0 && all > 0 ? kExitDone : kExitError;
}

int verify_in_job(const VerifyArguments& arguments, const MpiSession& session) {
  const auto begin = std::chrono::steady_clock::now();
  const bool root = session.rank() == 0;
  share_cores(session);
  const CommOptions options;
  const auto control = make_control_communicator(session, options, nullptr);
  Records records;
  together(*control, [&] {
    records = find_records({arguments.folders.begin(), arguments.folders.end()});
    if (arguments.dtype != "fp32") records.ggufs.clear(), records.texts.clear();
    require(records.count() > 0,
            "nothing to verify in {}: no golden.safetensors, tensors.json or *.jsonl in it or below",
            arguments.folders.front());
  });
  const DeviceChoice device = choose_device(session, *control, options, arguments.device);
  if (device.kind == DeviceKind::kCuda) make_gpu_reproducible();
  const auto data = make_data_communicator(session, *control, options,
                                           {.device = device, .producer = nullptr, .activity = nullptr});
  const TrajectoryRanks ranks{*control, *data,
                              device.kind == DeviceKind::kCuda
                                  ? torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(device.gpu))
                                  : torch::Device(torch::kCPU)};
  Findings findings([&](const Figure& figure) {
    if (root && (!arguments.failures_only || !figure.passed())) {
      fmt::print("{}\n", figure_line(figure));
      std::fflush(stdout);
    }
  });
  verify_records(records, compute_dtype(arguments.dtype), {arguments.tokenizers, arguments.models}, ranks,
                 findings);
  int code = kExitDone;
  if (root)
    code = summarise(records, findings,
                     std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return broadcast_value(*control, code, 0);
}

/// An error of one rank alone ends the job, because the others wait for it.
int run_verify(const VerifyArguments& arguments) {
  MpiSession session;
  set_log_rank(session.rank(), session.size());
  try {
    return verify_in_job(arguments, session);
  } catch (const AgreedError& error) {
    if (session.rank() == 0) log_error("{}", error.what());
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    log_error("{}", error_text(error));
    if (session.size() > 1) MpiSession::end_job(kExitError);
    return kExitError;
  }
}

}  // namespace

Command add_verify(CLI::App& program) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* app =
      program.add_subcommand("verify", "Check this build against recorded numbers of the reference software");
  app->add_option("DIR", arguments->folders,
                  "Folders with recorded models, texts and conversations, in them or anywhere below")
      ->required();
  app->add_option("--tokenizers", arguments->tokenizers,
                  "Folder with NAME/tokenizer.json (or qwen.tiktoken) for tokenizers/NAME.jsonl and "
                  "chat/NAME.jsonl; default: a folder called tokenizers beside or above the file");
  app->add_option("--models", arguments->models, "Folder with the GGUF files that tensors.json names")
      ->capture_default_str();
  app->add_option("--device", arguments->device, "Where models are computed")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app->add_option("--dtype", arguments->dtype,
                  "Compute type; in bf16 and fp16 the models alone, within what these types allow")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}))
      ->capture_default_str();
  app->add_flag("--failures", arguments->failures_only, "Print the figures that fail and the summary only");
  app->footer(
      "A line per figure: case, what, largest error, tolerance, pass or FAIL. Exit code 1 where one failed.\n"
      "Examples:\n  ranktune verify tests/data/golden\n  mpirun -n 2 ranktune verify golden --tokenizers "
      "tokenizers");
  return {app, [arguments] { return run_verify(*arguments); }};
}

}  // namespace ranktune
