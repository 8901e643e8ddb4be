#include "golden/golden_case.h"

#include "base/error.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "tensor/from_storage.h"

namespace ranktune {

GoldenCase::GoldenCase(const std::string& name)
    : folder_(Path(RANKTUNE_TEST_DATA) / "golden" / name), meta_(read_json_file(folder_ / "meta.json")) {
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    if (entry.path().extension() == ".safetensors") numbers_.push_back(SafetensorsFile::open(entry.path()));
}

std::unique_ptr<Decoder> GoldenCase::decoder(const std::string& variant) const {
  auto decoder = load_model({.folder = folder_ / "model", .dtype = torch::kFloat32, .device = torch::kCPU});
  if (!variant.empty()) load_adapter(*decoder, folder_ / "adapters" / variant);
  return decoder;
}

torch::Tensor GoldenCase::tensor(const std::string& name) const {
  for (const SafetensorsFile& file : numbers_)
    if (const TensorInfo* info = file.find(name)) return tensor_over(*info, nullptr).clone();
  fail("{}: no reference number is called {}", folder_.string(), name);
}

double GoldenCase::number(const std::string& name, std::int64_t index) const {
  return tensor(name).to(torch::kFloat64).flatten()[index].item<double>();
}

Slot slot_of(const torch::Tensor& ids, const torch::Tensor& mask, const torch::Tensor& labels) {
  Slot slot;
  slot.boundaries.push_back(0);
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    for (std::int64_t t = 0; t < ids.size(1); ++t) {
      if (mask[row][t].item<std::int64_t>() == 0) continue;
      slot.tokens.push_back(static_cast<std::int32_t>(ids[row][t].item<std::int64_t>()));
      slot.loss_mask.push_back(labels[row][t].item<std::int64_t>() != -100 ? 1 : 0);
    }
    slot.boundaries.push_back(static_cast<std::int32_t>(slot.tokens.size()));
    slot.rows.push_back(row);
  }
  return slot;
}

double relative_error(const torch::Tensor& found, const torch::Tensor& reference) {
  return (found - reference).abs().max().item<double>() / reference.abs().max().item<double>();
}

}  // namespace ranktune
