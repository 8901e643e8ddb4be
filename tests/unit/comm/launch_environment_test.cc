#include "comm/launch_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

namespace ranktune {
namespace {

using Variables = std::map<std::string, std::string>;

Environment environment(const Variables& variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

std::optional<std::string> mistake(const Variables& variables, int world_size) {
  return launch_mistake(environment(variables), world_size);
}

TEST(LaunchedRank, IsThatOfTheInnermostLauncher) {
  EXPECT_EQ(launched_rank(environment({})), 0);
  EXPECT_EQ(launched_rank(environment({{"SLURM_PROCID", "3"}})), 3);
  EXPECT_EQ(launched_rank(environment({{"SLURM_PROCID", "3"}, {"PMIX_RANK", "2"}})), 2);
  // below mpirun, Slurm's variable is that of its daemon
  EXPECT_EQ(launched_rank(environment({{"SLURM_PROCID", "1"}, {"OMPI_COMM_WORLD_RANK", "6"}})), 6);
}

TEST(LaunchMistake, NothingIsWrongWithAConnectedOrSingleJob) {
  EXPECT_FALSE(mistake({}, 1));
  EXPECT_FALSE(mistake({{"SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "4"}}, 4));
  EXPECT_FALSE(mistake({{"SLURM_NTASKS", "1"}}, 1));
  EXPECT_FALSE(mistake({{"SLURM_NTASKS", "many"}}, 1));
  EXPECT_FALSE(mistake({{"OMPI_COMM_WORLD_SIZE", "1"}}, 1));
}

TEST(LaunchMistake, OneTaskOfALargerAllocationIsMeantSo) {
  EXPECT_FALSE(mistake({{"SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "1"}}, 1));
  // mpirun -n 1 in an allocation: Slurm's variables describe mpirun's daemons, one a machine.
  EXPECT_FALSE(
      mistake({{"SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"OMPI_COMM_WORLD_SIZE", "1"}}, 1));
}

TEST(LaunchMistake, ProcessesThatMpiDidNotConnectAreNamedWithTheRemedy) {
  using testing::AllOf;
  using testing::HasSubstr;
  EXPECT_THAT(mistake({{"SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "3"}}, 1).value_or(""),
              AllOf(HasSubstr("srun started 3"), HasSubstr("srun --mpi=pmix")));
  EXPECT_THAT(mistake({{"OMPI_COMM_WORLD_SIZE", "2"}}, 1).value_or(""), HasSubstr("mpirun started 2"));
  EXPECT_THAT(mistake({{"PMI_SIZE", "2"}}, 1).value_or(""), HasSubstr("another MPI"));
  EXPECT_THAT(mistake({{"SLURM_NTASKS", "4"}}, 1).value_or(""),
              AllOf(HasSubstr("SLURM_NTASKS=4"), HasSubstr("mpirun -n 1")));
}

TEST(MpiDefaults, AreSetOnlyWhereTheUserSetNothing) {
  constexpr const char* kYield = "OMPI_MCA_mpi_yield_when_idle";
  ::unsetenv(kYield);
  set_library_defaults();
  EXPECT_EQ(process_environment()(kYield), "1");
  ::setenv(kYield, "0", 1);
  set_library_defaults();
  EXPECT_EQ(process_environment()(kYield), "0");
  EXPECT_EQ(process_environment()("RANKTUNE_NO_SUCH_VARIABLE"), std::nullopt);
}

}  // namespace
}  // namespace ranktune
