#include "storage/gguf_writer.h"

#include "base/error.h"
#include "base/numeric.h"
#include "storage/gguf_format.h"
#include "storage/safetensors.h"

namespace ranktune {
namespace {

template <typename T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& bytes, std::string_view text) {
  put<std::uint64_t>(bytes, text.size());
  bytes += text;
}

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
}

/// Everything before the data: each tensor's offset counts from the data's begin.
std::string header_of(const GgufMetadata& metadata, const std::vector<GgufSpec>& tensors) {
  std::string bytes;
  put(bytes, kGgufMagic);
  put<std::uint32_t>(bytes, 3);
  put<std::uint64_t>(bytes, tensors.size());
  put(bytes, metadata.count());
  bytes += metadata.bytes();
  std::uint64_t offset = 0;
  for (const GgufSpec& tensor : tensors) {
    put_text(bytes, tensor.name);
    put(bytes, static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i-- > 0;)
      put(bytes, narrow<std::uint64_t>(tensor.shape[i], "dimension"));
    put(bytes, static_cast<std::uint32_t>(tensor.type));
    put(bytes, offset);
    offset = checked_add(offset, aligned(tensor.bytes()), "file bytes");
  }
  bytes.resize(aligned(bytes.size()), '\0');
  return bytes;
}

}  // namespace

void GgufMetadata::begin(std::string_view key, std::uint32_t type) {
  require(keys_.emplace(key).second, "GGUF metadata \"{}\" is given twice", key);
  put_text(bytes_, key);
  put(bytes_, type);
}

void GgufMetadata::add_u32(std::string_view key, std::uint32_t value) {
  begin(key, static_cast<std::uint32_t>(GgufType::kU32));
  put(bytes_, value);
}

void GgufMetadata::add_f32(std::string_view key, float value) {
  begin(key, static_cast<std::uint32_t>(GgufType::kF32));
  put(bytes_, value);
}

void GgufMetadata::add_flag(std::string_view key, bool value) {
  begin(key, static_cast<std::uint32_t>(GgufType::kBool));
  put<std::uint8_t>(bytes_, value ? 1 : 0);
}

void GgufMetadata::add_text(std::string_view key, std::string_view value) {
  begin(key, static_cast<std::uint32_t>(GgufType::kString));
  put_text(bytes_, value);
}

void GgufMetadata::add_texts(std::string_view key, std::span<const std::string> values) {
  begin(key, static_cast<std::uint32_t>(GgufType::kArray));
  put(bytes_, static_cast<std::uint32_t>(GgufType::kString));
  put<std::uint64_t>(bytes_, values.size());
  for (const std::string& value : values) put_text(bytes_, value);
}

void GgufMetadata::add_i32s(std::string_view key, std::span<const std::int32_t> values) {
  begin(key, static_cast<std::uint32_t>(GgufType::kArray));
  put(bytes_, static_cast<std::uint32_t>(GgufType::kI32));
  put<std::uint64_t>(bytes_, values.size());
  for (const std::int32_t value : values) put(bytes_, value);
}

std::uint64_t GgufSpec::bytes() const {
  require(!shape.empty() && shape.back() > 0 &&
              static_cast<std::size_t>(shape.back()) % ggml_block_elements(type) == 0,
          "tensor \"{}\" of shape {} has no whole blocks of {}", name, shape_text(shape),
          ggml_type_name(type));
  std::uint64_t elements = 1;
  for (const std::int64_t size : shape)
    elements = checked_mul(elements, narrow<std::uint64_t>(size, "dimension"), "tensor elements");
  return checked_mul(elements / ggml_block_elements(type), ggml_block_bytes(type), "tensor bytes");
}

GgufWriter::GgufWriter(const Path& path, const GgufMetadata& metadata, std::vector<GgufSpec> tensors)
    : path_(path.string()), tensors_(std::move(tensors)), file_(path) {
  std::set<std::string_view> names;
  for (const GgufSpec& tensor : tensors_)
    require(names.insert(tensor.name).second, "{}: tensor \"{}\" is given twice", path_, tensor.name);
  file_.write(header_of(metadata, tensors_));
}

void GgufWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  require(current_ < tensors_.size() && tensors_[current_].name == name,
          "{}: bytes of tensor \"{}\" came where \"{}\" is due", path_, name,
          current_ < tensors_.size() ? tensors_[current_].name : "the end");
  const std::uint64_t due = tensors_[current_].bytes();
  require(bytes.size() <= due - written_, "{}: tensor \"{}\" takes {} bytes, got {}", path_, name, due,
          written_ + bytes.size());
  file_.write(bytes);
  written_ += bytes.size();
  if (written_ < due) return;
  file_.write(std::string(aligned(due) - due, '\0'));
  ++current_;
  written_ = 0;
}

void GgufWriter::commit() {
  require(current_ == tensors_.size(), "{}: tensor \"{}\" got {} bytes only", path_,
          current_ < tensors_.size() ? tensors_[current_].name : "", written_);
  file_.commit();
}

std::uint64_t gguf_file_bytes(const GgufMetadata& metadata, const std::vector<GgufSpec>& tensors) {
  std::uint64_t total = header_of(metadata, tensors).size();
  for (const GgufSpec& tensor : tensors) total = checked_add(total, aligned(tensor.bytes()), "file bytes");
  return total;
}

}  // namespace ranktune
