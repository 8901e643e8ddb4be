#include "verify/check_gguf.h"

#include <fmt/core.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "eval/generate.h"
#include "model/load_model.h"
#include "storage/import_gguf.h"
#include "storage/new_folder.h"
#include "storage/weight_files.h"
#include "text/encode_example.h"
#include "train/slot_loss.h"
#include "verify/golden_model.h"
#include "verify/tolerances.h"

namespace ranktune {
namespace {

using Ids = std::vector<std::int32_t>;

/// Where the two largest logits are nearer than this, rounding may choose either.
constexpr double kSmallestGap = 0.005;

Path find_gguf(const Path& folder, const std::string& name, const std::vector<Path>& places) {
  std::string looked = folder.string();
  if (std::filesystem::exists(folder / name)) return folder / name;
  for (const Path& place : places) {
    if (std::filesystem::exists(place / name)) return place / name;
    looked += fmt::format(", {}", place.string());
  }
  fail("{} is not in {}; fetch it (tools/get_smollm2 --gguf-only) or give its folder with --models", name,
       looked);
}

void check_file(const std::string& subject, const Path& gguf, const Json& facts, Findings& findings) {
  if (!facts.contains("file_sha256")) return;
  Differences file;
  file.add(
      sha256_hex(MappedFile(gguf).bytes()) == json_get<std::string>(facts, "file_sha256", "tensors.json"),
      [&] { return gguf.string(); });
  findings.add(file.figure(subject, "sha256 of the file"));
}

void check_tensors(const std::string& subject, const Path& model, const Json& facts, Findings& findings) {
  const std::string where = "tensors.json";
  const WeightFiles weights = WeightFiles::open(model);
  Differences tensors;
  std::set<std::string> known;
  for (const Json& tensor : json_get<std::vector<Json>>(facts, "tensors", where)) {
    const auto name = json_get<std::string>(tensor, "hf_name", where);
    known.insert(name);
    const TensorInfo* found = weights.find(name);
    tensors.add(found != nullptr &&
                    found->shape == json_get<std::vector<std::int64_t>>(tensor, "shape", where) &&
                    sha256_hex(found->data) == json_get<std::string>(tensor, "sha256", where),
                [&] { return name; });
  }
  for (const TensorInfo* tensor : weights.tensors())
    if (!known.contains(tensor->name)) tensors.add(false, [&] { return tensor->name + " is too many"; });
  findings.add(tensors.figure(subject, "sha256 of tensors"));

  const Json config = read_json_file(model / "config.json");
  Differences settings;
  const Json wanted = facts.value("config", Json::object());
  for (const auto& [key, value] : wanted.items())
    settings.add(config.contains(key) && config[key] == value, [&, name = key] { return name; });
  if (settings.compared() > 0) findings.add(settings.figure(subject, "config.json"));
}

/// What all prompts of generation.json add up to.
class GenerationCheck {
 public:
  GenerationCheck(const Path& model, torch::Device device)
      : tokenizer_(Tokenizer::load(model)),
        template_(ChatTemplate::load(model)),
        decoder_(load_model({.folder = model, .dtype = torch::kFloat32, .device = device})) {}

  void add(const Json& record);
  void report(const std::string& subject, Findings& findings) const;

 private:
  void add_texts(const Json& record, const std::string& prompt, const Ids& ids);
  void add_logits(const Json& record, const std::string& prompt, const Slot& slot);
  void add_tokens(const Json& record, const std::string& prompt, const Ids& ids);

  std::unique_ptr<const Tokenizer> tokenizer_;
  ChatTemplate template_;
  std::unique_ptr<Decoder> decoder_;
  Differences texts_, ids_, tokens_, answers_;
  Worst losses_, logits_, means_, lengths_;
};

constexpr const char* kWhere = "generation.json";

void GenerationCheck::add(const Json& record) {
  const auto prompt = json_get<std::string>(record, "prompt", kWhere);
  const auto ids = json_get<Ids>(record, "prompt_ids", kWhere);
  add_texts(record, prompt, ids);
  Slot slot;
  slot.tokens = ids;
  slot.loss_mask.assign(ids.size(), 1);
  slot.boundaries = {0, static_cast<std::int32_t>(ids.size())};
  slot.rows = {0};
  if (record.contains("prompt_mean_nll")) {
    const auto reference = json_get<double>(record, "prompt_mean_nll", kWhere);
    const double loss = slot_loss(*decoder_, slot) / static_cast<double>(slot.supervised_tokens());
    losses_.add(std::fabs(loss - reference) / reference, prompt);
  }
  add_logits(record, prompt, slot);
  if (record.contains("new_ids")) add_tokens(record, prompt, ids);
}

void GenerationCheck::add_texts(const Json& record, const std::string& prompt, const Ids& ids) {
  const auto text = json_get<std::string>(record, "text", kWhere);
  const std::vector<Message> messages{{"user", prompt}};
  texts_.add(template_.render_text(messages, true) == text, [&] { return prompt; });
  ids_.add(encode_prompt(*tokenizer_, template_, messages) == ids, [&] { return prompt; });
}

/// Bounds on the whole vector follow from the bound on each of its V logits: its mean is as near, its length
/// within sqrt(V) times that.
void GenerationCheck::add_logits(const Json& record, const std::string& prompt, const Slot& slot) {
  const torch::Tensor last = slot_logits(*decoder_, slot)[-1].to(torch::kFloat64);
  const auto top = json_get_or<std::vector<std::int64_t>>(record, "top10_ids", {}, kWhere);
  const auto values = json_get_or<std::vector<double>>(record, "top10_logits", {}, kWhere);
  require(top.size() == values.size(), "{}: {} top10_ids with {} top10_logits", kWhere, top.size(),
          values.size());
  for (std::size_t i = 0; i < top.size(); ++i)
    logits_.add(std::fabs(last[top[i]].item<double>() - values[i]), prompt);
  const auto count = static_cast<double>(last.numel());
  if (record.contains("last_logits_sum"))
    means_.add(
        std::fabs(last.sum().item<double>() - json_get<double>(record, "last_logits_sum", kWhere)) / count,
        prompt);
  if (record.contains("last_logits_l2"))
    lengths_.add(std::fabs(last.norm().item<double>() - json_get<double>(record, "last_logits_l2", kWhere)) /
                     std::sqrt(count),
                 prompt);
}

void GenerationCheck::add_tokens(const Json& record, const std::string& prompt, const Ids& ids) {
  const auto expected = json_get<Ids>(record, "new_ids", kWhere);
  const auto gaps = json_get_or<std::vector<double>>(record, "top1_top2_gap", {}, kWhere);
  const Generation found =
      generate(*decoder_, ids,
               {.max_new_tokens = static_cast<std::int64_t>(expected.size()), .stop = {}, .sampling = {}});
  std::size_t sure = 0;
  while (sure < expected.size() && (sure >= gaps.size() || gaps[sure] >= kSmallestGap)) ++sure;
  for (std::size_t i = 0; i < sure; ++i)
    tokens_.add(i < found.ids.size() && found.ids[i] == expected[i],
                [&] { return fmt::format("token {} after \"{}\"", i, prompt); });
  if (record.contains("new_text"))
    answers_.add(tokenizer_->decode(expected, /*skip_special=*/true) ==
                     json_get<std::string>(record, "new_text", kWhere),
                 [&] { return prompt; });
}

void GenerationCheck::report(const std::string& subject, Findings& findings) const {
  findings.add(texts_.figure(subject, "chat text"));
  findings.add(ids_.figure(subject, "prompt_ids"));
  const auto add = [&](const char* what, const Worst& worst, double limit) {
    if (!worst.where().empty()) findings.add({subject, what, worst.error(), limit, worst.where()});
  };
  add("prompt_mean_nll", losses_, tolerance::kLoss);
  add("top10_logits", logits_, tolerance::kRealLogits);
  add("last_logits_sum / V", means_, tolerance::kRealLogits);
  add("last_logits_l2 / sqrt(V)", lengths_, tolerance::kRealLogits);
  if (tokens_.compared() > 0) findings.add(tokens_.figure(subject, "greedy tokens"));
  if (answers_.compared() > 0) findings.add(answers_.figure(subject, "decoded answers"));
}

}  // namespace

void check_gguf_folder(const Path& folder, const std::vector<Path>& places, torch::Device device,
                       Findings& findings) {
  const std::string subject = folder.filename().string();
  findings.guard(subject, "GGUF model", [&] {
    const Path facts_file = folder / "tensors.json", generation_file = folder / "generation.json";
    require(std::filesystem::exists(facts_file), "{} is missing: it names the GGUF file",
            facts_file.string());
    const Json facts = read_json_file(facts_file);
    const Path gguf = find_gguf(folder, json_get<std::string>(facts, "file", facts_file.string()), places);
    check_file(subject, gguf, facts, findings);
    const NewFolder scratch({.path = std::filesystem::temp_directory_path() / "ranktune-verify"});
    const Path model = scratch.filling() / "model";
    import_gguf({.gguf = gguf, .folder = model, .dtype = DType::kF32});
    findings.guard(subject, "tensors", [&] { check_tensors(subject, model, facts, findings); });
    if (!std::filesystem::exists(generation_file)) return;
    findings.guard(subject, "generation", [&] {
      GenerationCheck check(model, device);
      for (const Json& record : read_json_file(generation_file)) check.add(record);
      check.report(subject, findings);
    });
  });
}

}  // namespace ranktune
