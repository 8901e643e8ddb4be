#include "train/injection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <new>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(ParseFault, KnowsEveryKey) {
  const Fault fault = parse_fault("exit:rank=3,step=40,phase=save,attempt=2,code=7");
  EXPECT_EQ(fault.kind, FaultKind::kExit);
  EXPECT_EQ(fault.rank, 3);
  EXPECT_EQ(fault.step, 40);
  EXPECT_EQ(fault.phase, FaultPhase::kSave);
  EXPECT_EQ(fault.attempt, 2);
  EXPECT_EQ(fault.code, 7);
  EXPECT_EQ(parse_fault("stall:seconds=0.5").seconds, 0.5);
}

TEST(ParseFault, FillsInWhatIsNotSaid) {
  const Fault fault = parse_fault("kill");
  EXPECT_EQ(fault.kind, FaultKind::kKill);
  EXPECT_EQ(fault.rank, 0);
  EXPECT_EQ(fault.step, 1);
  EXPECT_EQ(fault.attempt, 1);
  EXPECT_EQ(fault.phase, FaultPhase::kStep);
  const Fault disk = parse_fault("slow-disk:rank=1");
  EXPECT_EQ(disk.phase, FaultPhase::kSave);
  EXPECT_GT(disk.seconds, 0);
}

TEST(ParseFault, SaysWhatIsWrong) {
  const auto refused = [](const char* text, const char* part) {
    expect_error([&] { parse_fault(text); }, std::string("--inject ") + text + ": ", part);
    try {
      parse_fault(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  };
  refused("", "\"\" is no kind of fault (there are kill, stop,");
  refused("kil", "did you mean \"kill\"?");
  refused("kill:", "\"\" is not KEY=VALUE");
  refused("kill:rank", "\"rank\" is not KEY=VALUE");
  refused("kill:rank=1,", "\"\" is not KEY=VALUE");
  refused("kill:rnk=1",
          "\"rnk\" is no key (there are rank, step, phase, attempt, seconds, code); did you mean \"rank\"?");
  refused("kill:rank=-1", "rank is \"-1\", not a number from 0 to");
  refused("kill:rank=1x", "rank is \"1x\"");
  refused("kill:step=0", "step is \"0\", not a number from 1 to");
  refused("kill:step=99999999999999999999", "step is");
  refused("kill:rank=1,rank=2", "rank is given twice");
  refused("kill:phase=sav", "\"sav\" is no phase");
  refused("kill:seconds=1", "seconds belongs to stall and slow-disk");
  refused("stall:seconds=nan", "seconds is \"nan\"");
  refused("stall:code=1", "code belongs to exit");
  refused("exit:code=256", "code is \"256\", not a number from 0 to 255");
  refused("nan:phase=save", "leave phase out");
  refused("nan-loss:phase=save", "leave phase out");
  refused("slow-disk:phase=step", "in phase=save only");
}

TEST(Injection, RefusesARankThatDoesNotExist) {
  EXPECT_NO_THROW(Injection({parse_fault("kill:rank=1")}, {.rank = 0, .ranks = 2}));
  expect_error([] { Injection({parse_fault("kill:rank=2")}, {.rank = 0, .ranks = 2}); },
               "--inject kill:rank=2: ", "no rank 2 among 2");
}

TEST(FaultHelp, NamesEveryKindAndPhase) {
  for (const char* word : {"kill", "stop", "exit", "throw", "oom", "nan", "nan-loss", "stall", "slow-disk",
                           "reduce", "validation", "save", "publish", "export", "end"})
    EXPECT_THAT(fault_help(), testing::HasSubstr(std::string("  ") + word + " "));
}

bool strikes(Injection& injection, FaultPhase phase, std::int64_t step) {
  try {
    injection.at(phase, step);
    return false;
  } catch (const Error&) {
    return true;
  }
}

TEST(Injection, StrikesOnceOnItsRankFromItsStepOn) {
  Injection other({parse_fault("throw:rank=1,step=3")}, {.rank = 0, .ranks = 2}),
      own({parse_fault("throw:rank=1,step=3")}, {.rank = 1, .ranks = 2});
  for (std::int64_t step = 1; step <= 5; ++step) EXPECT_FALSE(strikes(other, FaultPhase::kStep, step));
  EXPECT_FALSE(strikes(own, FaultPhase::kStep, 2));
  EXPECT_FALSE(strikes(own, FaultPhase::kSave, 4)) << "another phase";
  EXPECT_TRUE(strikes(own, FaultPhase::kStep, 4));
  EXPECT_FALSE(strikes(own, FaultPhase::kStep, 5)) << "once";
}

TEST(Injection, SparesOtherAttempts) {
  Injection second({parse_fault("throw"), parse_fault("throw:rank=9")}, {.attempt = 2});
  EXPECT_FALSE(strikes(second, FaultPhase::kStep, 1));
  Injection meant({parse_fault("throw:attempt=2")}, {.attempt = 2});
  EXPECT_TRUE(strikes(meant, FaultPhase::kStep, 1));
}

TEST(Injection, GradientsAreSpoiledOnce) {
  Injection injection({parse_fault("nan:step=2")}, {});
  EXPECT_FALSE(injection.spoils_gradient(1));
  EXPECT_FALSE(strikes(injection, FaultPhase::kStep, 2));
  EXPECT_TRUE(injection.spoils_gradient(2));
  EXPECT_FALSE(injection.spoils_gradient(3));
}

TEST(Injection, LossesAreSpoiledOnceAndNoGradients) {
  Injection injection({parse_fault("nan-loss:step=2")}, {});
  EXPECT_FALSE(injection.spoils_loss(1));
  EXPECT_FALSE(injection.spoils_gradient(2));
  EXPECT_TRUE(injection.spoils_loss(2));
  EXPECT_FALSE(injection.spoils_loss(3));
}

TEST(Injection, ASlowDiskIsSlowAtEverySave) {
  Injection injection({parse_fault("slow-disk:seconds=0.05")}, {});
  for (std::int64_t step = 1; step <= 2; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    injection.at(FaultPhase::kSave, step);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(50));
  }
}

TEST(InjectionDeathTest, KillsAndLeaves) {
  EXPECT_EXIT(Injection({parse_fault("kill")}, {}).at(FaultPhase::kStep, 1), testing::KilledBySignal(SIGKILL),
              "step 1: --inject kill strikes now");
  EXPECT_EXIT(Injection({parse_fault("exit:code=7")}, {}).at(FaultPhase::kStep, 1),
              testing::ExitedWithCode(7), "");
}

TEST(InjectionDeathTest, RunsOutOfMemory) {
  const auto subject = [] {
    try {
      Injection({parse_fault("oom")}, {}).at(FaultPhase::kStep, 1);
    } catch (const std::bad_alloc&) {
      std::_Exit(9);
    }
  };
  EXPECT_EXIT(subject(), testing::ExitedWithCode(9), "");
}

}  // namespace
}  // namespace ranktune
