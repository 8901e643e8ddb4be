#pragma once

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "model/kernels/row_math.h"

namespace ranktune {

/// One row of a contiguous fp32 or bf16 CPU matrix as fp32: the row itself, or a widened copy.
class RowReader {
 public:
  RowReader(const torch::Tensor& matrix, std::int64_t width) : width_(width), f32_(nullptr), bf16_(nullptr) {
    if (matrix.scalar_type() == torch::kFloat32) {
      f32_ = matrix.const_data_ptr<float>();
    } else {
      require(matrix.scalar_type() == torch::kBFloat16, "CPU kernels compute in fp32 or bf16, not {}",
              c10::toString(matrix.scalar_type()));
      bf16_ = matrix.const_data_ptr<c10::BFloat16>();
      buffer_.resize(static_cast<std::size_t>(width));
    }
  }
  const float* row(std::int64_t index) {
    if (f32_ != nullptr) return f32_ + index * width_;
    widen_row(bf16_ + index * width_, buffer_.data(), width_);
    return buffer_.data();
  }

 private:
  std::int64_t width_;
  const float* f32_;
  const c10::BFloat16* bf16_;
  std::vector<float> buffer_;
};

/// One row of a contiguous fp32 or bf16 CPU matrix to be filled: buffer(), then store().
class RowWriter {
 public:
  RowWriter(torch::Tensor& matrix, std::int64_t width) : width_(width), f32_(nullptr), bf16_(nullptr) {
    if (matrix.scalar_type() == torch::kFloat32) {
      f32_ = matrix.data_ptr<float>();
    } else {
      bf16_ = matrix.data_ptr<c10::BFloat16>();
      buffer_.resize(static_cast<std::size_t>(width));
    }
  }
  float* row(std::int64_t index) { return f32_ != nullptr ? f32_ + index * width_ : buffer_.data(); }
  void store(std::int64_t index) {
    if (bf16_ != nullptr) narrow_row(buffer_.data(), bf16_ + index * width_, width_);
  }

 private:
  std::int64_t width_;
  float* f32_;
  c10::BFloat16* bf16_;
  std::vector<float> buffer_;
};

/// Calls body(first, last) for ranges of rows on the threads of this rank.
template <typename Body>
void for_rows(std::int64_t rows, Body&& body) {
  at::parallel_for(0, rows, 8, body);
}

}  // namespace ranktune
