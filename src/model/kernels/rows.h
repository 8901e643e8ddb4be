#pragma once

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "model/kernels/row_math.h"

namespace ranktune {

/// One row of a contiguous fp32, bf16 or fp16 CPU matrix as fp32: the row itself, or a widened copy.
class RowReader {
 public:
  RowReader(const torch::Tensor& matrix, std::int64_t width)
      : width_(width), dtype_(matrix.scalar_type()), data_(matrix.const_data_ptr()) {
    require(dtype_ == torch::kFloat32 || dtype_ == torch::kBFloat16 || dtype_ == torch::kFloat16,
            "CPU kernels compute in fp32, bf16 or fp16, not {}", c10::toString(dtype_));
    if (dtype_ != torch::kFloat32) buffer_.resize(static_cast<std::size_t>(width));
  }
  const float* row(std::int64_t index) {
    if (dtype_ == torch::kFloat32) return static_cast<const float*>(data_) + index * width_;
    if (dtype_ == torch::kBFloat16)
      widen_row(static_cast<const c10::BFloat16*>(data_) + index * width_, buffer_.data(), width_);
    else
      widen_row(static_cast<const c10::Half*>(data_) + index * width_, buffer_.data(), width_);
    return buffer_.data();
  }

 private:
  std::int64_t width_;
  torch::ScalarType dtype_;
  const void* data_;
  std::vector<float> buffer_;
};

/// One row of such a matrix to be filled: row(), then store().
class RowWriter {
 public:
  RowWriter(torch::Tensor& matrix, std::int64_t width)
      : width_(width), dtype_(matrix.scalar_type()), data_(matrix.data_ptr()) {
    if (dtype_ != torch::kFloat32) buffer_.resize(static_cast<std::size_t>(width));
  }
  float* row(std::int64_t index) {
    return dtype_ == torch::kFloat32 ? static_cast<float*>(data_) + index * width_ : buffer_.data();
  }
  void store(std::int64_t index) {
    if (dtype_ == torch::kBFloat16)
      narrow_row(buffer_.data(), static_cast<c10::BFloat16*>(data_) + index * width_, width_);
    else if (dtype_ == torch::kFloat16)
      narrow_row(buffer_.data(), static_cast<c10::Half*>(data_) + index * width_, width_);
  }

 private:
  std::int64_t width_;
  torch::ScalarType dtype_;
  void* data_;
  std::vector<float> buffer_;
};

/// Calls body(first, last) for ranges of rows on the threads of this rank.
template <typename Body>
void for_rows(std::int64_t rows, Body&& body) {
  at::parallel_for(0, rows, 8, body);
}

}  // namespace ranktune
