#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "storage/weight_files.h"

namespace ranktune {

/// A weight as it goes into a file of its own, handed out a few rows at a time.
struct FinalWeight {
  std::string name;  ///< Hugging Face's
  std::vector<std::int64_t> shape;
  DType stored = DType::kF32;  ///< the type that it is kept in where no other is asked for
  /// Rows [first, first + count): exact in the type it comes in, so it is rounded once at
  /// most.
  std::function<torch::Tensor(std::int64_t first, std::int64_t count)> rows;

  std::int64_t row_count() const { return shape.at(0); }
  std::int64_t row_elements() const;
};

/// The type that holds the most bytes; of equal ones the first. `bytes` is not empty.
DType dtype_of_most(const std::map<DType, std::uint64_t>& bytes);

/// The type that all weights of the base are stored in, or F32, which is exact for all, where they differ: a
/// decoder that is loaded in it needs no memory beside the files' mappings in the first case.
DType common_dtype(const WeightFiles& base);

/// Every weight of the decoder with what its adapter does to it, added in fp32; modules and tokens that the
/// adapter trains beside take the place of the base's. Each is stored as in the base's files; one that they
/// have not got (the head of a model that was tied) like most. The decoder must outlive them; a head that the
/// adapter gives other rows than the embedding is parted from it.
std::vector<FinalWeight> merged_weights(Decoder& decoder, const WeightFiles& base);

/// Every weight after full fine-tuning, stored in the type that it was trained in, which may be wider or
/// narrower than the base's. `values`: of `parameters`, in their order, on any device; they are not copied.
std::vector<FinalWeight> trained_weights(const ParameterList& parameters,
                                         const std::vector<torch::Tensor>& values);

/// Hands out all rows in order, in pieces of bounded size: whole multiples of `unit` rows.
void for_each_piece(const FinalWeight& weight, std::int64_t unit,
                    const std::function<void(const torch::Tensor&)>& use);

/// Error, with the weight's name, where `piece` (a contiguous CPU tensor) holds NaN or infinity: rounding to
/// a smaller type or an adapter may have made one.
void require_finite(const FinalWeight& weight, const torch::Tensor& piece);

}  // namespace ranktune
