#include "comm/launch_environment.h"

#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

namespace ranktune {
namespace {

/// The number in a variable; 0 where it is absent or no number.
int number_in(const Environment& environment, const char* name) {
  const std::optional<std::string> text = environment(name);
  int number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

/// Containers often forbid process_vm_readv altogether, even on oneself.
bool may_read_process_memory() {
  char from = 1, to = 0;
  const iovec local = {&to, 1}, remote = {&from, 1};
  return ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) == 1;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

void set_library_defaults() {
  constexpr int kKeepUsers = 0;
  ::setenv("OMPI_MCA_mpi_yield_when_idle", "1", kKeepUsers);
  if (!may_read_process_memory()) ::setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", kKeepUsers);
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", kKeepUsers);
}

int launched_rank(const Environment& environment) {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"})
    if (environment(name)) return number_in(environment, name);
  return 0;
}

std::optional<std::string> launch_mistake(const Environment& environment, int world_size) {
  if (world_size != 1) return std::nullopt;
  constexpr const char* kRemedy =
      "Start it with `srun --mpi=pmix` or with the mpirun of the Open MPI it was built with; for a single "
      "process "
      "use `mpirun -n 1`.";
  const auto says = [&](const char* name, int tasks, const char* who) {
    return fmt::format(
        "{} started {} processes ({}={}), but MPI connected none of them: each would run the whole job "
        "as rank 0 of 1. {}",
        who, tasks, name, tasks, kRemedy);
  };
  if (environment("OMPI_COMM_WORLD_SIZE")) {
    // Open MPI's own launcher has the last word: below it, Slurm's variables describe its daemons.
    const int size = number_in(environment, "OMPI_COMM_WORLD_SIZE");
    if (size > 1) return says("OMPI_COMM_WORLD_SIZE", size, "mpirun");
    return std::nullopt;
  }
  if (const int size = number_in(environment, "PMI_SIZE"); size > 1) {
    return says("PMI_SIZE", size, "A launcher of another MPI");
  }
  if (environment("SLURM_STEP_NUM_TASKS")) {
    const int size = number_in(environment, "SLURM_STEP_NUM_TASKS");
    if (size > 1) return says("SLURM_STEP_NUM_TASKS", size, "srun");
    return std::nullopt;
  }
  if (const int tasks = number_in(environment, "SLURM_NTASKS"); tasks > 1) {
    return fmt::format(
        "The Slurm allocation has {} tasks (SLURM_NTASKS={}), but the program was started as a single "
        "process. {}",
        tasks, tasks, kRemedy);
  }
  return std::nullopt;
}

}  // namespace ranktune
