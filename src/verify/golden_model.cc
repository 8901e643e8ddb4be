#include "verify/golden_model.h"

#include <torch/utils.h>

#include <filesystem>
#include <limits>

#include "base/error.h"
#include "model/adapter.h"
#include "model/load_model.h"
#include "model/lora.h"
#include "tensor/from_storage.h"
#include "verify/tolerances.h"

namespace ranktune {
namespace {

constexpr const char* kTrainedSuffix = "_trained";

Json read_meta(const Path& folder) {
  const Path file = folder / "meta.json";
  return std::filesystem::exists(file) ? read_json_file(file) : Json::object();
}

Json member_or_empty(const Json& object, const std::string& key) {
  return object.is_object() && object.contains(key) && object[key].is_object() ? object[key] : Json::object();
}

void require_same_shape(const torch::Tensor& found, const torch::Tensor& reference) {
  require(found.sizes() == reference.sizes(), "shape {} was computed, but {} is recorded",
          shape_text(found.sizes().vec()), shape_text(reference.sizes().vec()));
}

}  // namespace

Limits limits_of(torch::ScalarType compute_dtype) {
  if (compute_dtype == torch::kFloat32) return {tolerance::kLogits, tolerance::kLoss, tolerance::kGradient};
  const double unit = compute_dtype == torch::kBFloat16 ? 0x1p-8 : 0x1p-11;
  return {tolerance::kLogitUnits * unit, tolerance::kLossUnits * unit, tolerance::kGradientUnits * unit};
}

GoldenModel::GoldenModel(const Path& folder, torch::ScalarType compute_dtype)
    : dtype_(compute_dtype),
      folder_(std::filesystem::absolute(folder).lexically_normal()),
      meta_(read_meta(folder_)),
      numbers_(SafetensorsFile::open(folder_ / "golden.safetensors")) {
  if (!folder_.has_filename()) folder_ = folder_.parent_path();
  name_ = folder_.filename().string();
  find_variants();
}

void GoldenModel::find_variants() {
  std::set<std::string> found;
  const Json variants = member_or_empty(meta_, "variants");
  for (const auto& item : variants.items()) found.insert(item.key());
  for (const TensorInfo& info : numbers_.tensors()) found.insert(info.name.substr(0, info.name.find('.')));
  if (std::filesystem::is_directory(folder_ / "adapters"))
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "adapters"))
      if (const std::string name = entry.path().filename().string(); !name.ends_with(kTrainedSuffix))
        found.insert(name);
  trains_all_ = found.contains("full") || meta_.contains("full");
  for (const char* other : {"main", "gen", "train", "full"}) found.erase(other);
  variants_.assign(found.begin(), found.end());
}

torch::Tensor GoldenModel::tensor(const std::string& name) {
  compared_.insert(name);
  return tensor_over(numbers_.get(name), nullptr).clone();
}

double GoldenModel::number(const std::string& name, std::int64_t index) {
  const torch::Tensor all = tensor(name).to(torch::kFloat64).flatten();
  require(index < all.numel(), "{}: tensor {} has {} entries, but number {} is needed", numbers_.where(),
          name, all.numel(), index + 1);
  return all[index].item<double>();
}

std::int64_t GoldenModel::generations() const {
  std::int64_t count = 0;
  while (has(fmt::format("gen.{}.prompt", count))) ++count;
  return count;
}

std::vector<std::string> GoldenModel::uncompared() const {
  std::vector<std::string> names;
  for (const TensorInfo& info : numbers_.tensors())
    if (!compared_.contains(info.name)) names.push_back(info.name);
  return names;
}

void GoldenModel::set_aside(const std::string& prefix) {
  for (const TensorInfo& info : numbers_.tensors())
    if (info.name.starts_with(prefix)) compared_.insert(info.name);
}

Json GoldenModel::train_settings() const { return member_or_empty(meta_, "train"); }

Json GoldenModel::variant_settings(const std::string& variant) const {
  if (variant == "full") return member_or_empty(meta_, "full");
  return member_or_empty(member_or_empty(meta_, "variants"), variant);
}

Path GoldenModel::model_folder() const {
  return folder_ / json_get_or<std::string>(meta_, "model", "model", "meta.json");
}

Path GoldenModel::adapter_folder(const std::string& variant) const {
  return folder_ /
         json_get_or<std::string>(variant_settings(variant), "adapter", "adapters/" + variant, "meta.json");
}

Path GoldenModel::trained_folder(const std::string& variant) const {
  const Json settings = variant_settings(variant);
  if (variant == "full")
    return folder_ / json_get_or<std::string>(settings, "trained_model", "full_trained", "meta.json");
  return folder_ / json_get_or<std::string>(settings, "trained_adapter",
                                            "adapters/" + variant + kTrainedSuffix, "meta.json");
}

Path GoldenModel::merged_folder(const std::string& variant) const {
  return folder_ / json_get_or<std::string>(variant_settings(variant), "merged_model", "merged/" + variant,
                                            "meta.json");
}

std::unique_ptr<Decoder> GoldenModel::decoder(const std::string& variant, torch::Device device) const {
  auto decoder = load_model({.folder = model_folder(), .dtype = dtype_, .device = device});
  if (!variant.empty() && variant != "full") {
    load_adapter(*decoder, adapter_folder(variant));
    use_compute_dtype(*decoder);
  }
  return decoder;
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

torch::Tensor slot_logits(Decoder& decoder, const Slot& slot) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor hidden =
      decoder.hidden_states(pack_tokens(slot.tokens, slot.boundaries, decoder.device()), ForwardMode{});
  return decoder.logits(decoder.final_norm(hidden)).cpu();
}

double relative_error(const torch::Tensor& found, const torch::Tensor& reference) {
  const double largest = reference.to(torch::kFloat64).abs().max().item<double>();
  const double difference = absolute_error(found, reference);
  if (largest == 0) return difference == 0 ? 0 : std::numeric_limits<double>::infinity();
  return difference / largest;
}

double absolute_error(const torch::Tensor& found, const torch::Tensor& reference) {
  const torch::NoGradGuard no_grad;
  require_same_shape(found, reference);
  return (found.detach().cpu().to(torch::kFloat64) - reference.to(torch::kFloat64))
      .abs()
      .max()
      .item<double>();
}

}  // namespace ranktune
