#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/adapter_config.h"
#include "model/decoder.h"
#include "model/lora_options.h"
#include "storage/new_folder.h"

namespace ranktune {

/// What an adapter remembers beside PEFT's own files, in `ranktune.json`, so that another base model,
/// tokenizer or chat template is noticed when it is used.
struct AdapterOrigin {
  std::string base_model;        ///< the path that was trained on, for people
  std::string base_fingerprint;  ///< of the base weights
  std::string tokenizer_fingerprint;
  std::string template_name, template_fingerprint;
  std::int64_t step = 0;
};

/// One file of an adapter folder: its name, about how many bytes it will have, and what writes it to a path.
/// `write` holds everything it needs in host memory, so it may run later and on another thread.
struct AdapterFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::function<void(const Path&)> write;
};

/// adapter_config.json, adapter_model.safetensors (fp32) and ranktune.json for the adapter on `decoder`.
/// `values`: its tensors in the order of lora_parameters, on any device; they are copied. A PiSSA adapter is
/// written as the ordinary one of twice the rank that does the same to the whole base model: W_rest + s B A =
/// W + s [B|-B_0] [A;A_0] (PEFT's path_initial_model_for_weight_conversion).
std::vector<AdapterFile> adapter_files(Decoder& decoder, const LoraOptions& options,
                                       const std::vector<torch::Tensor>& values, const AdapterOrigin& origin);

/// The current values of the adapter in a file that adapter_files wrote, for lora_parameters. Of a PiSSA
/// adapter the file also holds what was taken out of the base model; it is taken out of this one.
std::vector<torch::Tensor> read_adapter_values(Decoder& decoder, const LoraOptions& options,
                                               const Path& file);

/// An adapter folder that appears under its name only when whole.
void write_adapter(const NewFolderOptions& place, const std::vector<AdapterFile>& files);

/// Puts the adapter of that folder on the decoder with its values (fp32 on the decoder's device). Missing,
/// extra or misshapen tensors are Errors.
LoraOptions load_adapter(Decoder& decoder, const Path& adapter_folder);

/// The tensors of `file` under the names of `parameters`, in their order: fp32 CPU tensors of the parameters'
/// shapes. Missing, extra or misshapen tensors, NaN and infinity are Errors that name the file and the
/// tensor.
std::vector<torch::Tensor> read_parameters(const Path& file, const ParameterList& parameters);

/// Writes tensors under the names of `parameters`, sorted by name.
void write_parameters(const Path& file, const ParameterList& parameters,
                      const std::vector<torch::Tensor>& values);

/// ranktune.json of an adapter folder; all fields empty where there is none (an adapter that PEFT wrote).
AdapterOrigin read_adapter_origin(const Path& adapter_folder);

/// Throws where the adapter of that folder remembers other base weights than those whose `fingerprint` is
/// made (only where it is needed: that reads them all); `model` names them in the message.
void require_same_base(const Path& adapter_folder, const std::string& model,
                       const std::function<std::string()>& fingerprint);

}  // namespace ranktune
