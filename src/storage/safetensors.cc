#include "storage/safetensors.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/numeric.h"

namespace ranktune {
namespace {

/// The reference implementation refuses longer headers too.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxDimensions = 16;
/// {"name": {"shape": [1]}}: nothing in a header lies deeper.
constexpr int kMaxDepth = 3;

Json parse_header(std::string_view text, const std::string& where) {
  check_json_structure(text, kMaxDepth, where + ": the header");
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& error) {
    fail("{}: the header is not valid JSON (at byte {} of {}); the file is damaged or not safetensors", where,
         error.byte, text.size());
  } catch (const Json::exception&) {
    fail("{}: the header holds a number that is none a file can mean; the file is damaged or not safetensors",
         where);
  }
}

std::uint64_t unsigned_number(const Json& value, const std::string& object, const char* what) {
  require(value.is_number_integer() && (value.is_number_unsigned() || value.get<std::int64_t>() >= 0),
          "{}: {} holds {}, which is not a size", object, what, value.dump().substr(0, 80));
  return value.get<std::uint64_t>();
}

const Json& member(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  require(found != object.end(), "{}: \"{}\" is missing", where, key);
  require(found->is_array() || std::string_view(key) == "dtype", "{}: \"{}\" is not a list", where, key);
  return *found;
}

/// One entry of the header; `body` are the file's bytes after the header.
TensorInfo parse_tensor(const std::string& name, const Json& entry, std::span<const std::byte> body,
                        const std::string& where) {
  const std::string object = fmt::format("{}: tensor \"{}\"", where, name);
  require(entry.is_object() && entry.size() == 3,
          "{}: its entry must hold dtype, shape and data_offsets alone", object);
  TensorInfo tensor;
  tensor.name = name;

  const Json& dtype = member(entry, "dtype", object);
  const auto known = dtype.is_string() ? dtype_from_name(dtype.get_ref<const std::string&>()) : std::nullopt;
  require(known.has_value(), "{}: dtype {} is unknown", object, dtype.dump().substr(0, 80));
  tensor.dtype = *known;

  const Json& shape = member(entry, "shape", object);
  require(shape.size() <= kMaxDimensions, "{}: {} dimensions are too many", object, shape.size());
  std::uint64_t bytes = dtype_size(tensor.dtype);
  for (const Json& dimension : shape) {
    const std::uint64_t size = unsigned_number(dimension, object, "shape");
    bytes = checked_mul(bytes, size, object.c_str());
    tensor.shape.push_back(narrow<std::int64_t>(size, object.c_str()));
  }

  const Json& offsets = member(entry, "data_offsets", object);
  require(offsets.size() == 2, "{}: data_offsets must be [begin, end]", object);
  const std::uint64_t begin = unsigned_number(offsets[0], object, "data_offsets");
  const std::uint64_t end = unsigned_number(offsets[1], object, "data_offsets");
  require(begin <= end && end <= body.size(),
          "{}: its bytes {}..{} lie outside the {} bytes of data; the file is truncated or damaged", object,
          begin, end, body.size());
  require(end - begin == bytes, "{}: dtype {} and shape {} need {} bytes, but data_offsets give it {}",
          object, dtype_name(tensor.dtype), shape_text(tensor.shape), bytes, end - begin);
  tensor.data = body.subspan(begin, bytes);
  return tensor;
}

/// `tensors` in the order of their bytes: each must begin where the one before ends.
void require_contiguous(const std::vector<TensorInfo>& tensors, std::span<const std::byte> body,
                        const std::string& where) {
  const auto offset = [&](const TensorInfo& tensor) {
    return static_cast<std::uint64_t>(tensor.data.data() - body.data());
  };
  std::uint64_t expected = 0;
  const TensorInfo* before = nullptr;
  for (const TensorInfo& tensor : tensors) {
    const std::uint64_t begin = offset(tensor);
    require(begin >= expected, "{}: tensors \"{}\" and \"{}\" overlap", where, before ? before->name : "",
            tensor.name);
    require(begin == expected, "{}: {} bytes before tensor \"{}\" belong to no tensor", where,
            begin - expected, tensor.name);
    expected = begin + tensor.data.size();
    before = &tensor;
  }
  require(expected == body.size(), "{}: {} bytes after the last tensor belong to no tensor", where,
          body.size() - expected);
}

}  // namespace

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += fmt::format("{}{}", text.size() == 1 ? "" : ", ", size);
  return text + "]";
}

std::int64_t TensorInfo::elements() const {
  return static_cast<std::int64_t>(data.size() / dtype_size(dtype));
}

SafetensorsFile::SafetensorsFile(FileBytes bytes, std::string where)
    : file_(std::move(bytes)), where_(std::move(where)) {
  parse();
}

void SafetensorsFile::parse() {
  const std::span<const std::byte> bytes = file_.bytes;
  require(bytes.size() >= kLengthBytes, "{}: {} bytes are too few for a safetensors file; it is truncated",
          where_, bytes.size());
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  require(
      header_bytes <= kMaxHeaderBytes && header_bytes <= bytes.size() - kLengthBytes,
      "{}: a header of {} bytes is announced, but {} bytes follow; the file is truncated or not safetensors",
      where_, header_bytes, bytes.size() - kLengthBytes);
  const std::span<const std::byte> body = bytes.subspan(kLengthBytes + header_bytes);
  const Json header =
      parse_header({reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_bytes}, where_);
  require(header.is_object(), "{}: the header is not a JSON object; the file is damaged or not safetensors",
          where_);

  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors_.push_back(parse_tensor(name, entry, body, where_));
      continue;
    }
    require(entry.is_object(), "{}: __metadata__ is not an object", where_);
    for (const auto& [key, value] : entry.items()) {
      require(value.is_string(), "{}: __metadata__ \"{}\" is not a text", where_, key);
      metadata_[key] = value.get<std::string>();
    }
  }
  // An empty tensor shares its offset with its neighbour, so the end decides as well, and then the name.
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tuple(a.data.data(), a.data.size(), std::string_view(a.name)) <
           std::tuple(b.data.data(), b.data.size(), std::string_view(b.name));
  });
  require_contiguous(tensors_, body, where_);
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_[tensors_[i].name] = i;
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorInfo& SafetensorsFile::get(std::string_view name) const {
  if (const TensorInfo* found = find(name)) return *found;
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors_) names.push_back(tensor.name);
  fail("{}: tensor \"{}\" is missing{}", where_, name, did_you_mean(name, names));
}

}  // namespace ranktune
