#include "export/final_weights.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "storage/all_finite.h"
#include "tensor/dtype.h"
#include "tensor/from_storage.h"

namespace ranktune {
namespace {

/// 64 MB in fp32.
constexpr std::int64_t kPieceElements = std::int64_t{1} << 24;

/// The type that holds most of the base's bytes.
DType usual_dtype(const WeightFiles& base) {
  std::map<DType, std::uint64_t> bytes;
  for (const TensorInfo* tensor : base.tensors()) bytes[tensor->dtype] += tensor->data.size();
  require(!bytes.empty(), "{} holds no weights", base.list().folder.string());
  return dtype_of_most(bytes);
}

/// Rows of a token matrix, those that the adapter trains put in their places.
torch::Tensor token_rows(const ParameterPtr& weight, const TokenRows& trained, std::int64_t first,
                         std::int64_t count) {
  torch::Tensor rows =
      weight->value.detach().narrow(0, first, count).to(torch::kFloat32, false, /*copy=*/true);
  const torch::Tensor place = trained.place.narrow(0, first, count);
  const torch::Tensor index = place.ge(0).nonzero().squeeze(1);
  return rows.index_copy_(
      0, index,
      trained.rows->value.detach().to(torch::kFloat32).index_select(0, place.index_select(0, index)));
}

std::function<torch::Tensor(std::int64_t, std::int64_t)> rows_of(const torch::Tensor& value) {
  return [value = value.detach()](std::int64_t first, std::int64_t count) {
    return value.narrow(0, first, count);
  };
}

}  // namespace

std::int64_t FinalWeight::row_elements() const {
  std::int64_t count = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) count *= shape[i];
  return count;
}

DType dtype_of_most(const std::map<DType, std::uint64_t>& bytes) {
  return std::ranges::max_element(bytes, {}, &std::pair<const DType, std::uint64_t>::second)->first;
}

DType common_dtype(const WeightFiles& base) {
  const DType usual = usual_dtype(base);
  for (const TensorInfo* tensor : base.tensors())
    if (tensor->dtype != usual) return DType::kF32;
  return usual;
}

std::vector<FinalWeight> merged_weights(Decoder& decoder, const WeightFiles& base) {
  TokenMatrix &embedding = decoder.embedding(), &head = decoder.head();
  if (head.rows != embedding.rows) decoder.untie_head();
  std::map<std::string, std::shared_ptr<const TokenRows>> tokens;
  if (embedding.rows) tokens[embedding.weight->name] = embedding.rows;
  if (head.rows && head.weight != embedding.weight) tokens[head.weight->name] = head.rows;
  std::map<std::string, const Linear*> adapted;
  for (const Linear* linear : decoder.linears())
    if (linear->lora) adapted[linear->weight->name] = linear;

  std::vector<FinalWeight> weights;
  for (const ParameterPtr& parameter : decoder.parameters()) {
    const std::string& name = parameter->name;
    const TensorInfo* info = base.find(name);
    FinalWeight weight{.name = name,
                       .shape = parameter->value.sizes().vec(),
                       .stored = info != nullptr ? info->dtype : usual_dtype(base),
                       .rows = {}};
    using Row = std::int64_t;
    if (adapted.contains(name))
      weight.rows = [linear = adapted.at(name)](Row first, Row count) {
        return merged_rows(*linear, first, count);
      };
    else if (tokens.contains(name))
      weight.rows = [parameter, trained = tokens.at(name)](Row first, Row count) {
        return token_rows(parameter, *trained, first, count);
      };
    else
      weight.rows = rows_of(parameter->seen(/*use_adapter=*/true));
    weights.push_back(std::move(weight));
  }
  return weights;
}

std::vector<FinalWeight> trained_weights(const ParameterList& parameters,
                                         const std::vector<torch::Tensor>& values) {
  require(parameters.size() == values.size(), "{} tensors were given for {} parameters", values.size(),
          parameters.size());
  std::vector<FinalWeight> weights;
  for (std::size_t i = 0; i < values.size(); ++i)
    weights.push_back({.name = parameters[i]->name,
                       .shape = values[i].sizes().vec(),
                       .stored = stored_dtype_of(values[i].scalar_type()),
                       .rows = rows_of(values[i])});
  return weights;
}

void for_each_piece(const FinalWeight& weight, std::int64_t unit,
                    const std::function<void(const torch::Tensor&)>& use) {
  const std::int64_t count = weight.row_count(),
                     most = std::max<std::int64_t>(1, kPieceElements / (weight.row_elements() * unit)) * unit;
  for (std::int64_t first = 0; first < count; first += most)
    use(weight.rows(first, std::min(most, count - first)).cpu());
}

void require_finite(const FinalWeight& weight, const torch::Tensor& piece) {
  const auto bad = first_not_finite(bytes_of(piece), stored_dtype_of(piece.scalar_type()));
  require(
      !bad.has_value(),
      "weight {} would hold NaN or infinity as {}; choose a type of wider range (bf16 or f32), and look at "
      "the adapter's values",
      weight.name, dtype_name(stored_dtype_of(piece.scalar_type())));
}

}  // namespace ranktune
