// GPU buffers over NCCL where every rank has a GPU of its own, and over host memory where ranks share one.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "comm/nccl_communicator.h"
#include "ranks/rank_session.h"
#include "support/expect_error.h"

namespace ranktune {
namespace {

constexpr std::int64_t kCount = 100'003;

/// GPU memory with a copy of `values`.
template <typename T>
class OnGpu {
 public:
  explicit OnGpu(const std::vector<T>& values) : count_(values.size()) {
    EXPECT_EQ(cudaMalloc(&data_, bytes()), cudaSuccess);
    // Queued, not waited for: the communicator must order itself after it.
    EXPECT_EQ(cudaMemcpyAsync(data_, values.data(), bytes(), cudaMemcpyHostToDevice, nullptr), cudaSuccess);
  }
  OnGpu(const OnGpu&) = delete;
  OnGpu& operator=(const OnGpu&) = delete;
  ~OnGpu() { cudaFree(data_); }

  Buffer buffer(std::int64_t offset = 0, std::int64_t count = -1) const {
    return {static_cast<T*>(data_) + offset, count < 0 ? static_cast<std::int64_t>(count_) : count,
            element_type_of<T>(), DeviceKind::kCuda};
  }
  std::vector<T> values() const {
    std::vector<T> result(count_);
    EXPECT_EQ(cudaMemcpy(result.data(), data_, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return result;
  }

 private:
  std::size_t bytes() const { return count_ * sizeof(T); }
  std::size_t count_;
  void* data_ = nullptr;
};

/// Small whole numbers: exact sums in every type.
template <typename T>
T element(int rank, std::int64_t index) {
  return static_cast<T>(
      CounterRandom(static_cast<std::uint64_t>(rank)).bits(static_cast<std::uint64_t>(index)) % 50);
}

template <typename T>
std::vector<T> elements(int rank, std::int64_t count) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(element<T>(rank, i));
  return values;
}

template <typename T>
std::vector<T> sums(int size, std::int64_t first, std::int64_t count) {
  std::vector<T> values;
  for (std::int64_t i = first; i < first + count; ++i) {
    T sum{};
    for (int rank = 0; rank < size; ++rank) sum = static_cast<T>(sum + element<T>(rank, i));
    values.push_back(sum);
  }
  return values;
}

class GpuRanks {
 public:
  GpuRanks() {
    control_ = make_control_communicator(rank_session(), options_, nullptr);
    choice_ = choose_device(rank_session(), *control_, options_, "cuda");
    EXPECT_EQ(cudaSetDevice(choice_.gpu), cudaSuccess);
    data_ = make_data_communicator(rank_session(), *control_, options_, {.device = choice_});
  }
  Communicator& data() { return *data_; }
  Communicator& control() { return *control_; }
  const DeviceChoice& choice() const { return choice_; }

 private:
  CommOptions options_ = {.timeout = 60, .share_gpu = true};
  std::unique_ptr<Communicator> control_, data_;
  DeviceChoice choice_;
};

template <typename T>
class TypedGpu : public testing::Test {};
using Types = testing::Types<std::uint8_t, std::int32_t, std::int64_t, float, double>;
TYPED_TEST_SUITE(TypedGpu, Types);

TYPED_TEST(TypedGpu, AllCallsAreExact) {
  GpuRanks ranks;
  Communicator& comm = ranks.data();
  const int rank = comm.rank(), size = comm.size();
  EXPECT_EQ(comm.backend(), ranks.choice().shared ? "mpi, staged" : "nccl");
  const auto mine = elements<TypeParam>(rank, kCount * size);

  const OnGpu<TypeParam> reduced(mine);
  comm.all_reduce(reduced.buffer(), ReduceOp::kSum);
  EXPECT_EQ(reduced.values(), sums<TypeParam>(size, 0, kCount * size));

  const OnGpu<TypeParam> send(mine), part(std::vector<TypeParam>(kCount, TypeParam{}));
  comm.reduce_scatter(send.buffer(), part.buffer(), ReduceOp::kSum);
  EXPECT_EQ(part.values(), sums<TypeParam>(size, rank * kCount, kCount));

  const OnGpu<TypeParam> whole(std::vector<TypeParam>(mine.size(), TypeParam{}));
  comm.all_gather(part.buffer(), whole.buffer());
  EXPECT_EQ(whole.values(), sums<TypeParam>(size, 0, kCount * size));

  const OnGpu<TypeParam> sent(mine);
  comm.broadcast(sent.buffer(), size - 1);
  EXPECT_EQ(sent.values(), elements<TypeParam>(size - 1, kCount * size));

  const OnGpu<TypeParam> largest(std::vector<TypeParam>(7, static_cast<TypeParam>(rank)));
  comm.all_reduce(largest.buffer(), ReduceOp::kMax);
  EXPECT_EQ(largest.values(), std::vector<TypeParam>(7, static_cast<TypeParam>(size - 1)));
  comm.all_reduce(largest.buffer(0, 0), ReduceOp::kMin);
  comm.barrier();
}

TEST(Gpu, BFloat16SumsOfWholeNumbers) {
  GpuRanks ranks;
  const OnGpu<std::uint8_t> values({0x80, 0x3F, 0x00, 0x40});  // 1.0 and 2.0, little endian
  ranks.data().all_reduce({values.buffer().data, 2, ElementType::kBFloat16, DeviceKind::kCuda},
                          ReduceOp::kMax);
  EXPECT_EQ(values.values(), (std::vector<std::uint8_t>{0x80, 0x3F, 0x00, 0x40}));
  ranks.data().all_reduce({values.buffer().data, 2, ElementType::kBFloat16, DeviceKind::kCuda},
                          ReduceOp::kSum);
  if (ranks.data().size() == 2) {
    EXPECT_EQ(values.values(), (std::vector<std::uint8_t>{0x00, 0x40, 0x80, 0x40})) << "2.0 and 4.0";
  }
}

TEST(Gpu, Int64SumsBeyondDoublePrecision) {
  GpuRanks ranks;
  const OnGpu<std::int64_t> value({(std::int64_t{1} << 60) + ranks.data().rank() + 1});
  ranks.data().all_reduce(value.buffer(), ReduceOp::kSum);
  std::int64_t expected = 0;
  for (int rank = 0; rank < ranks.data().size(); ++rank) expected += (std::int64_t{1} << 60) + rank + 1;
  EXPECT_EQ(value.values()[0], expected);
}

TEST(Gpu, DuplicatesWorkFromTwoThreadsAtOnce) {
  GpuRanks ranks;
  const auto other = ranks.data().duplicate();
  const int gpu = ranks.choice().gpu;
  const auto work = [gpu](Communicator& comm, int offset, int& wrong) {
    if (cudaSetDevice(gpu) != cudaSuccess) ++wrong;
    for (int round = 0; round < 100; ++round) {
      const OnGpu<std::int32_t> values(std::vector<std::int32_t>(1000, offset + comm.rank()));
      comm.all_reduce(values.buffer(), ReduceOp::kMax);
      wrong += values.values() != std::vector<std::int32_t>(1000, offset + comm.size() - 1);
    }
  };
  int wrong = 0, wrong_in_thread = 0;
  std::thread thread([&] { work(*other, 1000, wrong_in_thread); });
  work(ranks.data(), 5, wrong);
  thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(wrong_in_thread, 0);
}

TEST(Gpu, HostMemoryIsRefused) {
  GpuRanks ranks;
  std::vector<float> host(4);
  expect_error([&] { ranks.data().all_reduce(buffer_of(std::span(host)), ReduceOp::kSum); }, "all_reduce",
               "host memory");
}

TEST(Gpu, SharingAGpuByAccidentIsRefused) {
  GpuRanks ranks;
  if (!ranks.choice().shared) {
    EXPECT_EQ(ranks.data().backend(), "nccl");
    return;
  }
  expect_error([&] { choose_device(rank_session(), ranks.control(), {.timeout = 60}, "cuda"); },
               "comm.share_gpu");
}

}  // namespace
}  // namespace ranktune
