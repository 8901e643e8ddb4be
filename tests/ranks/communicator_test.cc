#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "comm/collectives.h"
#include "comm/mpi_communicator.h"
#include "ranks/rank_session.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

constexpr double kTimeout = 60;

std::unique_ptr<Communicator> world(std::int64_t max_count = std::int64_t{1} << 28) {
  return make_mpi_communicator(rank_session(), {.timeout = kTimeout, .max_count = max_count});
}

/// Element `index` of rank `rank`: small whole numbers, so that sums are exact in every type.
template <typename T>
T element(int rank, std::int64_t index) {
  const auto bits =
      CounterRandom(static_cast<std::uint64_t>(rank) + 17).bits(static_cast<std::uint64_t>(index));
  return static_cast<T>(bits % 50);
}

template <typename T>
std::vector<T> elements(int rank, std::int64_t count) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(element<T>(rank, i));
  return values;
}

/// The reduction of all ranks' element `index`, done here.
template <typename T>
T reduced(int size, std::int64_t index, ReduceOp op) {
  T result = element<T>(0, index);
  for (int rank = 1; rank < size; ++rank) {
    const T value = element<T>(rank, index);
    if (op == ReduceOp::kSum) result = static_cast<T>(result + value);
    if (op == ReduceOp::kMax) result = std::max(result, value);
    if (op == ReduceOp::kMin) result = std::min(result, value);
  }
  return result;
}

struct Case {
  std::int64_t max_count;  ///< elements per MPI call
  std::int64_t count;      ///< elements in a block
};

// Whole buffers, and cut into pieces of which the last one is shorter; empty and single elements.
const Case kCases[] = {{1 << 20, 1000}, {7, 40}, {1, 5}, {1 << 20, 0}, {1 << 20, 1}, {64, 64}};

template <typename T>
class TypedRanks : public testing::Test {};
using Types = testing::Types<std::uint8_t, std::int32_t, std::int64_t, float, double>;
TYPED_TEST_SUITE(TypedRanks, Types);

TYPED_TEST(TypedRanks, AllReduceIsExact) {
  for (const Case& each : kCases) {
    const auto comm = world(each.max_count);
    for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin}) {
      auto values = elements<TypeParam>(comm->rank(), each.count);
      all_reduce(*comm, std::span(values), op);
      for (std::int64_t i = 0; i < each.count; ++i) {
        ASSERT_EQ(values[static_cast<std::size_t>(i)], reduced<TypeParam>(comm->size(), i, op)) << i;
      }
    }
  }
}

TYPED_TEST(TypedRanks, ReduceScatterGivesEachRankItsBlock) {
  for (const Case& each : kCases) {
    const auto comm = world(each.max_count);
    for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin}) {
      const auto send = elements<TypeParam>(comm->rank(), each.count * comm->size());
      std::vector<TypeParam> receive(static_cast<std::size_t>(each.count), TypeParam{99});
      comm->reduce_scatter(const_buffer_of(std::span(send)), buffer_of(std::span(receive)), op);
      for (std::int64_t i = 0; i < each.count; ++i) {
        ASSERT_EQ(receive[static_cast<std::size_t>(i)],
                  reduced<TypeParam>(comm->size(), comm->rank() * each.count + i, op));
      }
      EXPECT_EQ(send, elements<TypeParam>(comm->rank(), each.count * comm->size()))
          << "send must stay as it was";
    }
  }
}

TYPED_TEST(TypedRanks, AllGatherKeepsRankOrder) {
  for (const Case& each : kCases) {
    const auto comm = world(each.max_count);
    const auto send = elements<TypeParam>(comm->rank(), each.count);
    std::vector<TypeParam> expected;
    for (int rank = 0; rank < comm->size(); ++rank) {
      const auto block = elements<TypeParam>(rank, each.count);
      expected.insert(expected.end(), block.begin(), block.end());
    }
    std::vector<TypeParam> receive(expected.size());
    comm->all_gather(const_buffer_of(std::span(send)), buffer_of(std::span(receive)));
    EXPECT_EQ(receive, expected);

    // Once more with this rank's block already in its place.
    std::vector<TypeParam> in_place(expected.size());
    const auto own = std::span(in_place).subspan(static_cast<std::size_t>(comm->rank() * each.count),
                                                 static_cast<std::size_t>(each.count));
    std::copy(send.begin(), send.end(), own.begin());
    comm->all_gather(buffer_of(own), buffer_of(std::span(in_place)));
    EXPECT_EQ(in_place, expected);
  }
}

TYPED_TEST(TypedRanks, BroadcastFromEveryRoot) {
  for (const Case& each : kCases) {
    const auto comm = world(each.max_count);
    for (int root = 0; root < comm->size(); ++root) {
      auto values = elements<TypeParam>(comm->rank(), each.count);
      broadcast(*comm, std::span(values), root);
      EXPECT_EQ(values, elements<TypeParam>(root, each.count));
    }
  }
}

TEST(Ranks, Int64SumsBeyondDoublePrecision) {
  const auto comm = world();
  // Sums that a double would round: 2^62 / size + small odd parts.
  const std::int64_t mine = (std::int64_t{1} << 62) / comm->size() + 2 * comm->rank() + 1;
  std::int64_t expected = 0;
  for (int rank = 0; rank < comm->size(); ++rank) {
    expected += (std::int64_t{1} << 62) / comm->size() + 2 * rank + 1;
  }
  EXPECT_EQ(all_reduce_value(*comm, mine, ReduceOp::kSum), expected);
  EXPECT_EQ(all_reduce_value(*comm, std::numeric_limits<std::int64_t>::min() + comm->rank(), ReduceOp::kMin),
            std::numeric_limits<std::int64_t>::min());
}

std::uint16_t bfloat16_of(float value) {
  // Only for values that bfloat16 holds exactly.
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
}

TEST(Ranks, BFloat16IsAddedInFp32AndRoundedOnce) {
  for (const std::int64_t max_count : {std::int64_t{1} << 20, std::int64_t{3}}) {
    const auto comm = world(max_count);
    const auto size = static_cast<std::size_t>(comm->size());
    constexpr std::size_t kCount = 10;
    // 256 + 1 + 1 + 1: each pairwise bfloat16 sum would round back to 256; in fp32 it is 257 to 259, which
    // rounds (spacing 2, ties to even) to 256, 258, 260 for 2, 3 and 4 ranks.
    const float mine = comm->rank() == 0 ? 256.0F : 1.0F;
    const float expected[] = {256, 256, 258, 260};
    std::vector<std::uint16_t> values(kCount * size, bfloat16_of(mine));
    const ConstBuffer send(values.data(), static_cast<std::int64_t>(values.size()), ElementType::kBFloat16);
    std::vector<std::uint16_t> part(kCount);
    comm->reduce_scatter(send, {part.data(), kCount, ElementType::kBFloat16}, ReduceOp::kSum);
    for (const std::uint16_t each : part) EXPECT_EQ(each, bfloat16_of(expected[size - 1]));
    comm->all_reduce({values.data(), kCount, ElementType::kBFloat16}, ReduceOp::kSum);
    for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(values[i], bfloat16_of(expected[size - 1]));
    std::vector<std::uint16_t> all(kCount * size);
    const std::vector<std::uint16_t> own(kCount, static_cast<std::uint16_t>(comm->rank() + 5));
    comm->all_gather({own.data(), kCount, ElementType::kBFloat16},
                     {all.data(), static_cast<std::int64_t>(all.size()), ElementType::kBFloat16});
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], i / kCount + 5);
    std::uint16_t largest = bfloat16_of(comm->rank() == 0 ? std::numeric_limits<float>::infinity() : 1);
    comm->all_reduce({&largest, 1, ElementType::kBFloat16}, ReduceOp::kMax);
    EXPECT_EQ(largest, bfloat16_of(std::numeric_limits<float>::infinity()));
  }
}

TEST(Ranks, FloatSumsAreTheSameBitsOnAllRanks) {
  const auto comm = world();
  std::vector<float> values(5000);
  const CounterRandom random(static_cast<std::uint64_t>(comm->rank()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random.uniform(i) - 0.5);
  all_reduce(*comm, std::span(values), ReduceOp::kSum);
  std::vector<float> of_rank_0 = values;
  broadcast(*comm, std::span(of_rank_0), 0);
  EXPECT_EQ(values, of_rank_0);
}

TEST(Ranks, StringsAndVectorsOfAnySize) {
  const auto comm = world();
  const int last = comm->size() - 1;
  const std::string with_nul("a\0b\xff", 4);
  std::string text = comm->rank() == last ? with_nul : "something longer that must go";
  broadcast_bytes(*comm, text, last);
  EXPECT_EQ(text, with_nul);
  std::vector<double> numbers(static_cast<std::size_t>(comm->rank()), 1.0);
  if (comm->rank() == last) numbers = {1, 2, 3};
  broadcast_vector(*comm, numbers, last);
  EXPECT_EQ(numbers, (std::vector<double>{1, 2, 3}));

  const auto texts = all_gather_strings(*comm, std::string(static_cast<std::size_t>(comm->rank()) * 3, 'x'));
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(comm->size()));
  for (std::size_t rank = 0; rank < texts.size(); ++rank) EXPECT_EQ(texts[rank], std::string(rank * 3, 'x'));
  for (const std::string& each : all_gather_strings(*comm, "")) EXPECT_EQ(each, "");
}

TEST(Ranks, TogetherGivesAllRanksTheLowestRanksError) {
  const auto comm = world();
  together(*comm, [] {});
  const int culprit = comm->size() / 2;
  try {
    together(*comm, [&] {
      if (comm->rank() >= culprit)
        throw Error("disk full on " + std::to_string(comm->rank()), ErrorKind::kUsage);
    });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), "disk full on " + std::to_string(culprit));
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  }
  EXPECT_EQ(all_reduce_value(*comm, 1, ReduceOp::kSum), comm->size()) << "the communicator is still good";
}

TEST(Ranks, DuplicatesWorkFromTwoThreadsAtOnce) {
  const auto comm = world();
  const auto other =
      make_mpi_communicator(rank_session(), {.timeout = kTimeout, .background = true})->duplicate();
  constexpr int kRounds = 100;
  const auto work = [](Communicator& mine, std::int64_t offset, int& errors) {
    for (int round = 0; round < kRounds; ++round) {
      std::vector<std::int64_t> values(static_cast<std::size_t>(1 + round % 97), offset + mine.rank());
      all_reduce(mine, std::span(values), ReduceOp::kSum);
      const std::int64_t size = mine.size();
      const std::int64_t expected = size * offset + size * (size - 1) / 2;
      errors +=
          std::any_of(values.begin(), values.end(), [&](std::int64_t each) { return each != expected; });
      std::int64_t from_root = mine.rank() == round % mine.size() ? offset + round : 0;
      mine.broadcast(buffer_of(std::span(&from_root, 1)), round % mine.size());
      errors += from_root != offset + round;
    }
  };
  int errors = 0, thread_errors = 0;
  std::thread thread([&] { work(*other, 1'000'000, thread_errors); });
  work(*comm, 5, errors);
  thread.join();
  EXPECT_EQ(errors, 0);
  EXPECT_EQ(thread_errors, 0);
}

TEST(Ranks, NobodyLeavesABarrierBeforeTheLastEnters) {
  const auto comm = world();
  // All ranks run on this machine, so they share the clock.
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  if (comm->rank() == comm->size() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(120));
  const std::int64_t entered = now();
  comm->barrier();
  const std::int64_t left = now();
  EXPECT_GE(all_reduce_value(*comm, left, ReduceOp::kMin), all_reduce_value(*comm, entered, ReduceOp::kMax));
}

TEST(Ranks, WaitsAreMarkedInTheActivity) {
  Activity activity;
  const auto comm =
      make_mpi_communicator(rank_session(), {.timeout = kTimeout, .background = true, .activity = &activity});
  EXPECT_LT(activity.report().waiting, 0);
  const auto seen = make_mpi_communicator(rank_session(), {.timeout = kTimeout});
  if (comm->size() == 1) {
    comm->barrier();
  } else if (comm->rank() == 0) {
    double longest = -1;
    std::thread observer([&] {  // the others come only when it has seen this rank wait
      for (int i = 0; i < 4000 && longest < 0.05; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        longest = std::max(longest, activity.report().waiting);
      }
      seen->barrier();
    });
    comm->barrier();
    observer.join();
    EXPECT_GE(longest, 0.05);
  } else {
    seen->barrier();
    comm->barrier();
  }
  EXPECT_LT(activity.report().waiting, 0);
}

TEST(Ranks, TheNodeGroupIsTheMachine) {
  const auto comm = make_mpi_communicator(rank_session(), {.group = RankGroup::kNode, .timeout = kTimeout});
  EXPECT_EQ(comm->rank(), rank_session().local_rank());
  EXPECT_EQ(comm->size(), rank_session().local_size());
  EXPECT_EQ(rank_session().local_size(), rank_session().size())
      << "mpiexec started all ranks on this machine";
  EXPECT_EQ(rank_session().node_count(), 1);
  EXPECT_EQ(rank_session().hosts().size(), static_cast<std::size_t>(rank_session().size()));
}

TEST(Ranks, WrongCallsAreRefusedWithTheirNumbers) {
  const auto comm = world();
  std::vector<float> values(8), part(3);
  expect_error([&] { comm->broadcast(buffer_of(std::span(values)), comm->size()); }, "broadcast", "root");
  expect_error(
      [&] {
        comm->all_reduce({values.data(), 8, ElementType::kFloat32, DeviceKind::kCuda}, ReduceOp::kSum);
      },
      "all_reduce", "GPU memory", "mpi");
  expect_error(
      [&] {
        comm->reduce_scatter(const_buffer_of(std::span(values)), buffer_of(std::span(part)), ReduceOp::kSum);
      },
      "8 elements", std::to_string(comm->size()) + " ranks x 3");
  expect_error(
      [&] {
        comm->all_reduce({nullptr, 8, ElementType::kFloat32}, ReduceOp::kSum);
      },
      "null pointer");
  expect_error(
      [&] {
        comm->all_reduce({values.data(), -1, ElementType::kFloat32}, ReduceOp::kSum);
      },
      "negative");
  std::vector<double> doubles(static_cast<std::size_t>(3 * comm->size()));
  expect_error([&] { comm->all_gather(buffer_of(std::span(part)), buffer_of(std::span(doubles))); },
               "float32 and float64");
}

}  // namespace
}  // namespace ranktune
