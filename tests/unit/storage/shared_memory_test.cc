#include "storage/shared_memory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "support/expect_error.h"

namespace ranktune {
namespace {

TEST(SharedMemory, AnotherProcessSeesWhatTheMakerWrites) {
  const auto made = SharedMemory::create(10000, "a test");
  ASSERT_EQ(made->writable().size(), 10000u);
  const SharedMemoryAddress address = made->address();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto attached = SharedMemory::attach(address, "a test");
    while (attached->bytes()[9999] != std::byte{7}) ::usleep(1000);
    ::_exit(attached->writable().empty() && attached->bytes().size() == 10000 ? 0 : 1);
  }
  made->writable()[9999] = std::byte{7};
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(SharedMemory, AnEmptyOneIsFine) {
  const auto made = SharedMemory::create(0, "nothing");
  EXPECT_TRUE(SharedMemory::attach(made->address(), "nothing")->bytes().empty());
}

TEST(SharedMemory, AStaleOrForeignAddressIsRefused) {
  SharedMemoryAddress address = SharedMemory::create(4096, "a test")->address();
  expect_error([&] { SharedMemory::attach(address, "big.safetensors"); }, "big.safetensors", "model.read");
  const auto other = SharedMemory::create(4096, "a test");
  address = other->address();
  ++address.size;
  expect_error([&] { SharedMemory::attach(address, "big.safetensors"); }, "is not the copy");
}

TEST(SharedMemory, MoreThanTheMachineHasIsAnError) {
  expect_error([] { SharedMemory::create(std::uint64_t{1} << 50, "big.safetensors"); }, "big.safetensors",
               "1125899.91 GB", "available");
}

}  // namespace
}  // namespace ranktune
