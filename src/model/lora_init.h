#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "model/decoder.h"
#include "model/lora_options.h"

namespace ranktune {

/// How PiSSA's principal part is found: exactly, or by `iterations` rounds of a randomised method.
struct PissaMethod {
  std::optional<std::int64_t> iterations;
};

/// The method that LoraOptions::init names ("pissa", "pissa_niter_4"), or nothing for "default" (A uniform in
/// +-1/sqrt(in), B zero) and "gaussian" (A normal with deviation 1/r, B zero). Other text is an Error.
std::optional<PissaMethod> pissa_method(const std::string& init);

/// A of a new adapter [rank,in] fp32 for "default" and "gaussian"; depends on `seed` alone.
torch::Tensor new_lora_a(const LoraOptions& options, std::int64_t rank, std::int64_t in, std::uint64_t seed);

/// Gives every adapter the principal part of its linear's weight (Meng et al. 2024, PiSSA; PEFT's
/// pissa_init): with W = U S V^T, B = U_r sqrt(S_r / scale), A = sqrt(S_r / scale) V_r^T.
/// `progress` is called after each linear; may be empty.
void find_principal_parts(Decoder& decoder, const PissaMethod& method, std::uint64_t seed,
                          const std::function<void()>& progress = {});

/// Takes each adapter's present update out of its linear's weight, so that the model computes what it did
/// without adapters, and keeps A and B as LoraUpdate::start_a, start_b. The weights are copies from then on.
void take_out_of_base(Decoder& decoder);

}  // namespace ranktune
