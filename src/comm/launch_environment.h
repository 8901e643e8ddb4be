#pragma once

#include <functional>
#include <optional>
#include <string>

namespace ranktune {

/// Value of an environment variable, or nothing. Tests give one of their own.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

/// Settings of libraries that a job needs and users forget, put into the environment where absent; to be
/// called before MPI starts. mpi_yield_when_idle: else ranks that wait take the cores from those that work
/// (more ranks than cores: 100 times slower collectives). btl_vader_single_copy_mechanism=none where the
/// kernel forbids reading other processes' memory (containers), which Open MPI notices too late.
/// CUBLAS_WORKSPACE_CONFIG=:4096:8: without it cuBLAS may add in another order from call to call.
void set_library_defaults();

/// The rank that the launcher has given this process, before MPI knows; 0 where it tells none.
int launched_rank(const Environment& environment);

/// Why a world of `world_size` cannot be what the launcher meant, with the remedy; nothing when all is well.
/// It finds the job of N processes that each believe to be rank 0 of 1 (srun without PMIx, another MPI's
/// mpiexec), and a program run by hand in an allocation of several tasks.
std::optional<std::string> launch_mistake(const Environment& environment, int world_size);

}  // namespace ranktune
