#include "app/error_text.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <functional>
#include <new>
#include <stdexcept>

#include "base/error.h"

namespace ranktune {
namespace {

struct Texts {
  std::string of_any, of_training;
};

Texts texts_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return {error_text(error), training_error_text(error)};
  }
  return {};
}

TEST(ErrorText, IsOneLineWithoutLibTorchsStack) {
  const auto [text, of_training] = texts_of([] { torch::zeros({2}).view({3}); });
  EXPECT_EQ(text, "shape '[3]' is invalid for input of size 2");
  EXPECT_EQ(of_training, text);
  EXPECT_EQ(texts_of([] { throw std::runtime_error("first\nsecond"); }).of_any, "first");
}

TEST(ErrorText, OwnErrorsStayAsTheyAre) {
  EXPECT_EQ(texts_of([] { fail("two\nlines"); }).of_training, "two\nlines");
}

TEST(ErrorText, WantOfMemoryIsSaidAndATrainingNamesTheRemedy) {
  const auto [text, of_training] = texts_of([] { throw std::bad_alloc(); });
  EXPECT_EQ(text, "out of memory (std::bad_alloc)");
  EXPECT_EQ(of_training,
            text +
                "; lower batch.tokens_per_slot, set train.recompute = true, or start fewer ranks "
                "on this machine");
  const Texts of_tensor = texts_of([] { torch::empty({std::int64_t{1} << 50}); });
  EXPECT_EQ(of_tensor.of_any.find("out of memory ("), 0u);
  EXPECT_EQ(of_tensor.of_any.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace ranktune
