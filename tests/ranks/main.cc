#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "comm/collectives.h"
#include "comm/mpi_communicator.h"
#include "ranks/rank_session.h"

namespace ranktune {
namespace {

MpiSession* the_session = nullptr;

/// Ranks other than 0 keep silent about what went well.
class FailurePrinter final : public testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "[rank %d] %s:%d: %s\n", rank_,
                 result.file_name() == nullptr ? "?" : result.file_name(), result.line_number(),
                 result.message());
  }

 private:
  int rank_;
};

int expected_world(int argc, char** argv) {
  constexpr std::string_view kFlag = "--world=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kFlag)) return std::atoi(argument.substr(kFlag.size()).data());
  }
  return 0;
}

int run_tests(MpiSession& session, int expected) {
  if (session.size() != expected) {
    std::fprintf(stderr, "this test needs --world=N and N ranks; N is %d, but the world has %d\n", expected,
                 session.size());
    return 1;
  }
  if (session.rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter(session.rank()));
  }
  const auto control = make_mpi_communicator(session, {.timeout = 60});
  const bool passed = RUN_ALL_TESTS() == 0 && testing::UnitTest::GetInstance()->test_to_run_count() > 0;
  return all_reduce_value(*control, passed ? 0 : 1, ReduceOp::kMax);
}

}  // namespace

MpiSession& rank_session() { return *the_session; }

}  // namespace ranktune

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  ranktune::MpiSession session;
  ranktune::the_session = &session;
  ranktune::set_log_rank(session.rank(), session.size());
  try {
    return ranktune::run_tests(session, ranktune::expected_world(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "[rank %d] %s\n", session.rank(), error.what());
    ranktune::MpiSession::end_job(1);
  }
}
