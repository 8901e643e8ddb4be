#include "storage/gguf.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"
#include "storage/gguf_format.h"

namespace ranktune {
namespace {

constexpr std::uint32_t kMaxDimensions = 4;
constexpr int kMaxArrayDepth = 4;
/// A value takes up to 32 times its bytes in memory, so the number of values is bounded beyond the file's
/// size.
constexpr std::uint64_t kMaxArrayValues = std::uint64_t{1} << 24;

/// Takes values off the front of a file's bytes; `context` says for errors what is being read.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return bytes_.size() - position_; }
  void set_context(std::string context) { context_ = std::move(context); }

  template <typename T>
  T take() {
    require(left() >= sizeof(T), "{}: the file ends inside {}; it is truncated", where_, context_);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }

  std::string_view take_string() {
    const auto size = take<std::uint64_t>();
    require(size <= left(),
            "{}: {}: a text of {} bytes is announced, but {} are left; the file is truncated or damaged",
            where_, context_, size, left());
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, size);
    position_ += size;
    return text;
  }

  /// A count of things of at least `min_bytes` each: more than the file can hold are refused before any is
  /// made.
  std::uint64_t take_count(std::uint64_t min_bytes, const char* what) {
    const auto count = take<std::uint64_t>();
    require(count <= left() / min_bytes,
            "{}: {}: {} {} are announced, but {} bytes are left; the file is truncated or damaged", where_,
            context_, count, what, left());
    return count;
  }

  GgufValue take_value(GgufType type, int depth = 0) {
    switch (type) {
      case GgufType::kU8:
        return {std::uint64_t{take<std::uint8_t>()}};
      case GgufType::kI8:
        return {std::int64_t{take<std::int8_t>()}};
      case GgufType::kU16:
        return {std::uint64_t{take<std::uint16_t>()}};
      case GgufType::kI16:
        return {std::int64_t{take<std::int16_t>()}};
      case GgufType::kU32:
        return {std::uint64_t{take<std::uint32_t>()}};
      case GgufType::kI32:
        return {std::int64_t{take<std::int32_t>()}};
      case GgufType::kU64:
        return {take<std::uint64_t>()};
      case GgufType::kI64:
        return {take<std::int64_t>()};
      case GgufType::kF32:
        return {take<float>()};
      case GgufType::kF64:
        return {take<double>()};
      case GgufType::kBool:
        return {take<std::uint8_t>() != 0};
      case GgufType::kString:
        return {take_string()};
      case GgufType::kArray:
        return {take_array(depth)};
    }
    fail("{}: {}: value type {} is unknown; the file is damaged or of a newer format", where_, context_,
         static_cast<std::uint32_t>(type));
  }

 private:
  GgufValue::Array take_array(int depth) {
    require(depth < kMaxArrayDepth, "{}: {}: lists are nested too deeply", where_, context_);
    const auto type = static_cast<GgufType>(take<std::uint32_t>());
    const std::uint64_t count = take_count(min_bytes(type), "list values");
    array_values_ += count;
    require(array_values_ <= kMaxArrayValues, "{}: {}: more than {} list values in one file are refused",
            where_, context_, kMaxArrayValues);
    GgufValue::Array items;
    items.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) items.push_back(take_value(type, depth + 1));
    return items;
  }

  static std::uint64_t min_bytes(GgufType type) {
    switch (type) {
      case GgufType::kU16:
      case GgufType::kI16:
        return 2;
      case GgufType::kU32:
      case GgufType::kI32:
      case GgufType::kF32:
        return 4;
      case GgufType::kU64:
      case GgufType::kI64:
      case GgufType::kF64:
      case GgufType::kString:
        return 8;
      case GgufType::kArray:
        return 12;
      default:
        return 1;
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::string context_ = "the header";
  std::uint64_t position_ = 0;
  std::uint64_t array_values_ = 0;
};

/// A tensor's entry; `offset` counts from the start of the data.
struct TensorEntry {
  GgufTensor tensor;
  std::uint64_t offset = 0, bytes = 0;
};

TensorEntry take_tensor(Reader& reader, const std::string& where) {
  TensorEntry entry;
  GgufTensor& tensor = entry.tensor;
  reader.set_context("the list of tensors");
  tensor.name = reader.take_string();
  const std::string object = fmt::format("{}: tensor \"{}\"", where, tensor.name);
  const auto dimensions = reader.take<std::uint32_t>();
  require(dimensions >= 1 && dimensions <= kMaxDimensions, "{}: {} dimensions; 1 to {} are possible", object,
          dimensions, kMaxDimensions);
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = reader.take<std::uint64_t>();
    require(size > 0, "{}: dimension {} is 0", object, i);
    elements = checked_mul(elements, size, object.c_str());
    tensor.shape.insert(tensor.shape.begin(), narrow<std::int64_t>(size, object.c_str()));
  }
  const auto number = reader.take<std::uint32_t>();
  const auto type = ggml_type_from_number(number);
  require(type.has_value(), "{}: its ggml type (number {}) is not supported; supported are {}", object,
          number, supported_ggml_types());
  tensor.type = *type;
  const std::uint64_t block = ggml_block_elements(tensor.type);
  require(static_cast<std::uint64_t>(tensor.row_elements()) % block == 0,
          "{}: rows of {} elements are not whole blocks of {} ({})", object, tensor.row_elements(), block,
          ggml_type_name(tensor.type));
  entry.bytes = checked_mul(elements / block, ggml_block_bytes(tensor.type), object.c_str());
  entry.offset = reader.take<std::uint64_t>();
  return entry;
}

void require_apart(const std::vector<GgufTensor>& tensors, const std::string& where) {
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->data.data() < b->data.data(); });
  for (std::size_t i = 1; i < order.size(); ++i)
    require(order[i - 1]->data.data() + order[i - 1]->data.size() <= order[i]->data.data(),
            "{}: tensors \"{}\" and \"{}\" overlap", where, order[i - 1]->name, order[i]->name);
}

std::uint32_t take_version(Reader& reader, const std::string& where) {
  require(reader.left() >= 8 && reader.take<std::uint32_t>() == kGgufMagic, "{}: not a GGUF file", where);
  const auto version = reader.take<std::uint32_t>();
  require((version & 0xFFFFu) != 0, "{}: a big-endian GGUF file, which is not supported", where);
  require(version == 2 || version == 3, "{}: GGUF version {} is not supported; versions 2 and 3 are", where,
          version);
  return version;
}

/// An fp32 as the double nearest to its shortest decimal: 1e-05 instead of 9.999999747378752e-06.
double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

std::int64_t as_int(const GgufValue& value, const std::string& where, std::string_view key) {
  if (const auto* number = std::get_if<std::int64_t>(&value.value)) return *number;
  const auto* number = std::get_if<std::uint64_t>(&value.value);
  require(number != nullptr, "{}: metadata \"{}\" is not a whole number", where, key);
  return narrow<std::int64_t>(*number, fmt::format("{}: metadata \"{}\"", where, key).c_str());
}

}  // namespace

std::int64_t GgufTensor::rows() const {
  std::int64_t count = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) count *= shape[i];
  return count;
}

GgufFile::GgufFile(FileBytes bytes, std::string where) : file_(std::move(bytes)), where_(std::move(where)) {
  Reader reader(file_.bytes, where_);
  version_ = take_version(reader, where_);
  const std::uint64_t tensor_count = reader.take_count(32, "tensors");
  const std::uint64_t value_count = reader.take_count(13, "metadata values");
  for (std::uint64_t i = 0; i < value_count; ++i) {
    reader.set_context("the metadata");
    std::string key(reader.take_string());
    reader.set_context(fmt::format("metadata \"{}\"", key));
    const auto type = static_cast<GgufType>(reader.take<std::uint32_t>());
    GgufValue value = reader.take_value(type);
    require(values_.emplace(key, std::move(value)).second, "{}: metadata \"{}\" is given twice", where_, key);
  }

  std::vector<std::uint64_t> offsets, sizes;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    TensorEntry entry = take_tensor(reader, where_);
    require(tensor_index_.emplace(entry.tensor.name, tensors_.size()).second,
            "{}: tensor \"{}\" is given twice", where_, entry.tensor.name);
    tensors_.push_back(std::move(entry.tensor));
    offsets.push_back(entry.offset);
    sizes.push_back(entry.bytes);
  }

  const auto alignment =
      has("general.alignment") ? static_cast<std::uint64_t>(get_int("general.alignment")) : kGgufAlignment;
  require(alignment >= 1 && alignment <= (1u << 20), "{}: an alignment of {} bytes is not possible", where_,
          alignment);
  const std::uint64_t start = (reader.position() + alignment - 1) / alignment * alignment;
  const std::uint64_t available = start <= file_.bytes.size() ? file_.bytes.size() - start : 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    require(offsets[i] % alignment == 0, "{}: tensor \"{}\" begins at {}, not at a multiple of {}", where_,
            tensors_[i].name, offsets[i], alignment);
    require(offsets[i] <= available && sizes[i] <= available - offsets[i],
            "{}: tensor \"{}\" needs bytes {}..{} of the data, but there are {}; the file is truncated or "
            "damaged",
            where_, tensors_[i].name, offsets[i], checked_add(offsets[i], sizes[i], where_.c_str()),
            available);
    tensors_[i].data = file_.bytes.subspan(start + offsets[i], sizes[i]);
  }
  require_apart(tensors_, where_);
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufTensor& GgufFile::get_tensor(std::string_view name) const {
  const GgufTensor* found = find_tensor(name);
  require(found != nullptr, "{}: tensor \"{}\" is missing", where_, name);
  return *found;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

const GgufValue& GgufFile::require_value(std::string_view key) const {
  const GgufValue* found = find(key);
  require(found != nullptr, "{}: metadata \"{}\" is missing", where_, key);
  return *found;
}

std::int64_t GgufFile::get_int(std::string_view key) const { return as_int(require_value(key), where_, key); }

double GgufFile::get_number(std::string_view key) const {
  const GgufValue& found = require_value(key);
  if (const auto* number = std::get_if<float>(&found.value)) return shortest(*number);
  if (const auto* number = std::get_if<double>(&found.value)) return *number;
  return static_cast<double>(as_int(found, where_, key));
}

bool GgufFile::get_bool(std::string_view key) const {
  const auto* found = std::get_if<bool>(&require_value(key).value);
  require(found != nullptr, "{}: metadata \"{}\" is not true or false", where_, key);
  return *found;
}

std::string_view GgufFile::get_string(std::string_view key) const {
  const auto* found = std::get_if<std::string_view>(&require_value(key).value);
  require(found != nullptr, "{}: metadata \"{}\" is not a text", where_, key);
  return *found;
}

std::vector<std::string_view> GgufFile::get_strings(std::string_view key) const {
  const auto* found = std::get_if<GgufValue::Array>(&require_value(key).value);
  require(found != nullptr, "{}: metadata \"{}\" is not a list", where_, key);
  std::vector<std::string_view> texts;
  texts.reserve(found->size());
  for (const GgufValue& item : *found) {
    const auto* text = std::get_if<std::string_view>(&item.value);
    require(text != nullptr, "{}: metadata \"{}\" is not a list of texts", where_, key);
    texts.push_back(*text);
  }
  return texts;
}

std::vector<std::int64_t> GgufFile::get_ints(std::string_view key) const {
  const auto* found = std::get_if<GgufValue::Array>(&require_value(key).value);
  require(found != nullptr, "{}: metadata \"{}\" is not a list", where_, key);
  std::vector<std::int64_t> numbers;
  numbers.reserve(found->size());
  for (const GgufValue& item : *found) numbers.push_back(as_int(item, where_, key));
  return numbers;
}

}  // namespace ranktune
