#include "data/hdf5.h"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"

namespace ranktune {
namespace {

static_assert(sizeof(hid_t) == sizeof(std::int64_t) && sizeof(herr_t) == sizeof(int));

/// Largest ratio that deflate reaches, so that a small file cannot ask for much memory.
constexpr std::uint64_t kMostCompression = 1100;
constexpr hsize_t kMostChunkElements = hsize_t{1} << 22;

/// Holds the library's state for one thread and keeps it from printing.
class Session {
 public:
  Session() : lock_(mutex()) {
    // Everything is closed by its owner. The library's own clean-up at exit crashes on a file that a full
    // disk kept from being closed.
    static const bool without_clean_up = H5dont_atexit() >= 0;
    static_cast<void>(without_clean_up);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }

 private:
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex instance;
    return instance;
  }
  std::lock_guard<std::recursive_mutex> lock_;
};

herr_t collect(unsigned, const H5E_error2_t* entry, void* out) {
  auto& lines = *static_cast<std::vector<std::string>*>(out);
  std::string line = entry->desc == nullptr ? "" : entry->desc;
  // Low-level descriptions end in addresses and offsets; the system's reason is what matters of them.
  if (const auto at = line.find("error message = '"); at != std::string::npos) {
    const auto begin = at + 17;
    line = line.substr(begin, line.find('\'', begin) - begin);
  }
  if (!line.empty() && std::find(lines.begin(), lines.end(), line) == lines.end())
    lines.push_back(std::move(line));
  return 0;
}

/// The reasons on the library's error stack, innermost first.
std::string stack_text() {
  std::vector<std::string> lines;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &lines);
  H5Eclear2(H5E_DEFAULT);
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(lines.size(), 3); ++i)
    text += (i == 0 ? ": " : "; ") + lines[i];
  return text;
}

template <typename Result>
Result check(Result result, const std::string& where, const char* what) {
  if (result < 0) {
    const std::string reason = stack_text();
    fail("{}: {}{}", where, what, reason);
  }
  return result;
}

int close_file(std::int64_t id) { return H5Fclose(id); }
int close_dataset(std::int64_t id) { return H5Dclose(id); }
int close_space(std::int64_t id) { return H5Sclose(id); }
int close_list(std::int64_t id) { return H5Pclose(id); }
int close_type(std::int64_t id) { return H5Tclose(id); }
int close_attribute(std::int64_t id) { return H5Aclose(id); }

hid_t file_type(Hdf5Type type) {
  switch (type) {
    case Hdf5Type::kInt32:
      return H5T_STD_I32LE;
    case Hdf5Type::kInt64:
      return H5T_STD_I64LE;
    case Hdf5Type::kUint8:
      return H5T_STD_U8LE;
  }
  return H5I_INVALID_HID;
}

hid_t memory_type(Hdf5Type type) {
  switch (type) {
    case Hdf5Type::kInt32:
      return H5T_NATIVE_INT32;
    case Hdf5Type::kInt64:
      return H5T_NATIVE_INT64;
    case Hdf5Type::kUint8:
      return H5T_NATIVE_UINT8;
  }
  return H5I_INVALID_HID;
}

std::uint64_t size_of(Hdf5Type type) {
  return type == Hdf5Type::kInt64 ? 8 : type == Hdf5Type::kInt32 ? 4 : 1;
}

Hdf5Handle make_list(hid_t kind) {
  return {check(H5Pcreate(kind), "HDF5", "cannot make a property list"), close_list};
}

Hdf5Handle access_list() {
  Hdf5Handle list = make_list(H5P_FILE_ACCESS);
  check(H5Pset_libver_bounds(list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "HDF5",
        "cannot set the format version");
#if H5_VERSION_GE(1, 10, 7)
  // Files appear by renaming and never change, and many cluster filesystems have no locks.
  check(H5Pset_file_locking(list.get(), false, true), "HDF5", "cannot switch file locks off");
#endif
  return list;
}

/// Two-dimensional extents; the second is unused where the dataset has one dimension.
using Extent = std::array<hsize_t, 2>;

Hdf5Handle select_rows(hid_t dataset, const std::string& where, const Extent& start, const Extent& count) {
  Hdf5Handle space(check(H5Dget_space(dataset), where, "cannot read its shape"), close_space);
  check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr), where,
        "cannot select rows");
  return space;
}

/// Refuses layouts that our writer does not make: they could hide damage, load plug-ins or ask for absurd
/// memory.
void check_layout(hid_t file, hid_t dataset, const std::string& where, std::uint64_t bytes) {
  const Hdf5Handle list(check(H5Dget_create_plist(dataset), where, "cannot read its layout"), close_list);
  require(H5Pget_layout(list.get()) == H5D_CHUNKED, "{}: is not stored in chunks", where);
  Extent chunk{1, 1};
  check(H5Pget_chunk(list.get(), 2, chunk.data()), where, "cannot read its chunk size");
  require(chunk[0] > 0 && chunk[1] > 0 && chunk[0] <= kMostChunkElements && chunk[1] <= kMostChunkElements &&
              chunk[0] * chunk[1] <= kMostChunkElements,
          "{}: chunks of {} x {} elements are too large", where, chunk[0], chunk[1]);
  bool checksummed = false;
  const int filters = check(H5Pget_nfilters(list.get()), where, "cannot read its filters");
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(list.get(), static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, nullptr);
    require(filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_FLETCHER32,
            "{}: uses filter {}, which this format does not have", where, filter);
    checksummed = checksummed || filter == H5Z_FILTER_FLETCHER32;
  }
  require(checksummed, "{}: has no Fletcher-32 checksums, so damage could not be seen", where);
  // What is said to be stored may be as wrong as the rest, but not more than the file's bytes.
  hsize_t file_bytes = 0;
  check(H5Fget_filesize(file, &file_bytes), where, "cannot ask for the file's size");
  const std::uint64_t stored = std::min<std::uint64_t>(H5Dget_storage_size(dataset), file_bytes);
  require(bytes / kMostCompression <= stored, "{}: claims {} bytes, but only {} are stored", where, bytes,
          stored);
}

}  // namespace

Hdf5Handle::Hdf5Handle(Hdf5Handle&& other) noexcept { *this = std::move(other); }

Hdf5Handle& Hdf5Handle::operator=(Hdf5Handle&& other) noexcept {
  if (this != &other) {
    reset();
    id_ = std::exchange(other.id_, -1);
    close_ = std::exchange(other.close_, nullptr);
  }
  return *this;
}

void Hdf5Handle::reset() noexcept { close(); }

int Hdf5Handle::close() noexcept {
  if (id_ < 0 || close_ == nullptr) return 0;
  const Session session;
  return close_(std::exchange(id_, -1));
}

void Hdf5Dataset::append(const void* values, std::int64_t rows) {
  const Session session;
  const Extent extent{static_cast<hsize_t>(rows_ + rows), static_cast<hsize_t>(columns_)};
  const Extent start{static_cast<hsize_t>(rows_), 0};
  const Extent count{static_cast<hsize_t>(rows), static_cast<hsize_t>(columns_)};
  check(H5Dset_extent(handle_.get(), extent.data()), where_, "cannot be made longer");
  const Hdf5Handle target = select_rows(handle_.get(), where_, start, count);
  const Hdf5Handle memory(
      check(H5Screate_simple(columns_ == 1 ? 1 : 2, count.data(), nullptr), where_, "no memory"),
      close_space);
  check(H5Dwrite(handle_.get(), memory_type(type_), memory.get(), target.get(), H5P_DEFAULT, values), where_,
        "cannot write");
  rows_ += rows;
}

void Hdf5Dataset::read(std::int64_t first, std::int64_t count, void* values) const {
  require(first >= 0 && count >= 0 && first <= rows_ && count <= rows_ - first,
          "{}: {} elements from {} on are outside its {}", where_, count, first, rows_);
  if (count == 0) return;
  const Session session;
  const Extent start{static_cast<hsize_t>(first), 0};
  const Extent extent{static_cast<hsize_t>(count), static_cast<hsize_t>(columns_)};
  const Hdf5Handle source = select_rows(handle_.get(), where_, start, extent);
  const Hdf5Handle memory(
      check(H5Screate_simple(columns_ == 1 ? 1 : 2, extent.data(), nullptr), where_, "no memory"),
      close_space);
  check(H5Dread(handle_.get(), memory_type(type_), memory.get(), source.get(), H5P_DEFAULT, values), where_,
        "cannot be read, the file is damaged");
}

Hdf5File Hdf5File::create(const Path& path) {
  const Session session;
  Hdf5File file;
  file.path_ = path;
  const Hdf5Handle creation = make_list(H5P_FILE_CREATE);
  check(H5Pset_obj_track_times(creation.get(), false), "HDF5", "cannot switch time stamps off");
  file.handle_ = Hdf5Handle(check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access_list().get()),
                                  path.string(), "cannot be made"),
                            close_file);
  return file;
}

Hdf5File Hdf5File::open(const Path& path) {
  const Session session;
  Hdf5File file;
  file.path_ = path;
  file.handle_ = Hdf5Handle(check(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access_list().get()), path.string(),
                                  "cannot be opened as HDF5 (missing, cut off or damaged)"),
                            close_file);
  return file;
}

Hdf5File Hdf5File::open_for_edit(const Path& path) {
  const Session session;
  Hdf5File file;
  file.path_ = path;
  file.handle_ = Hdf5Handle(check(H5Fopen(path.c_str(), H5F_ACC_RDWR, access_list().get()), path.string(),
                                  "cannot be opened for writing"),
                            close_file);
  return file;
}

Hdf5Dataset Hdf5File::create_dataset(const char* name, const Layout& layout) {
  const Session session;
  Hdf5Dataset dataset;
  dataset.type_ = layout.type;
  dataset.columns_ = layout.columns;
  dataset.where_ = path_.string() + ": dataset /" + name;
  const std::string& where = dataset.where_;
  const int rank = layout.columns == 1 ? 1 : 2;
  const Extent extent{0, static_cast<hsize_t>(layout.columns)};
  const Extent most{H5S_UNLIMITED, static_cast<hsize_t>(layout.columns)};
  const Extent chunk{static_cast<hsize_t>(layout.chunk_rows), static_cast<hsize_t>(layout.columns)};
  const Hdf5Handle list = make_list(H5P_DATASET_CREATE);
  check(H5Pset_obj_track_times(list.get(), false), where, "cannot switch time stamps off");
  check(H5Pset_chunk(list.get(), rank, chunk.data()), where, "cannot set the chunk size");
  // The unused end of the last chunk must be the same bytes every time.
  check(H5Pset_fill_time(list.get(), H5D_FILL_TIME_ALLOC), where, "cannot set the fill time");
  if (layout.compression > 0) {
    check(H5Pset_shuffle(list.get()), where, "cannot set the shuffle filter");
    check(H5Pset_deflate(list.get(), static_cast<unsigned>(layout.compression)), where,
          "cannot set compression");
  }
  check(H5Pset_fletcher32(list.get()), where, "cannot set checksums");
  const Hdf5Handle space(check(H5Screate_simple(rank, extent.data(), most.data()), where, "no memory"),
                         close_space);
  dataset.handle_ = Hdf5Handle(check(H5Dcreate2(handle_.get(), name, file_type(layout.type), space.get(),
                                                H5P_DEFAULT, list.get(), H5P_DEFAULT),
                                     where, "cannot be made"),
                               close_dataset);
  return dataset;
}

Hdf5Dataset Hdf5File::open_dataset(const char* name, Hdf5Type type, std::int64_t columns,
                                   std::size_t cache_bytes) const {
  const Session session;
  Hdf5Dataset dataset;
  dataset.type_ = type;
  dataset.columns_ = columns;
  dataset.where_ = path_.string() + ": dataset /" + name;
  const std::string& where = dataset.where_;
  H5L_info_t link{};
  check(H5Lget_info(handle_.get(), name, &link, H5P_DEFAULT), where, "is missing");
  require(link.type == H5L_TYPE_HARD, "{}: is a link to somewhere else", where);
  const Hdf5Handle list = make_list(H5P_DATASET_ACCESS);
  // Slots: a prime, about a hundred times the chunks that fit, as the library's manual advises.
  check(H5Pset_chunk_cache(list.get(), 25013, cache_bytes, 0.75), where, "cannot set the chunk cache");
  dataset.handle_ =
      Hdf5Handle(check(H5Dopen2(handle_.get(), name, list.get()), where, "cannot be opened"), close_dataset);
  const hid_t id = dataset.handle_.get();
  const Hdf5Handle stored_type(check(H5Dget_type(id), where, "cannot read its type"), close_type);
  require(H5Tequal(stored_type.get(), file_type(type)) > 0, "{}: has another type than int{} little-endian",
          where, size_of(type) * 8);
  const Hdf5Handle space(check(H5Dget_space(id), where, "cannot read its shape"), close_space);
  const int rank = check(H5Sget_simple_extent_ndims(space.get()), where, "cannot read its shape");
  require(rank == (columns == 1 ? 1 : 2), "{}: has {} dimensions", where, rank);
  Extent extent{0, 1};
  check(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), where, "cannot read its shape");
  require(extent[1] == static_cast<hsize_t>(columns), "{}: has {} columns instead of {}", where, extent[1],
          columns);
  dataset.rows_ = narrow<std::int64_t>(extent[0], "number of rows");
  const std::uint64_t row_bytes = static_cast<std::uint64_t>(columns) * size_of(type);
  check_layout(handle_.get(), id, where, checked_mul(extent[0], row_bytes, "dataset"));
  return dataset;
}

void Hdf5File::write_attribute(const char* name, std::string_view text) {
  const Session session;
  const std::string where = path_.string() + ": attribute " + name;
  const Hdf5Handle type(check(H5Tcopy(H5T_C_S1), where, "no memory"), close_type);
  check(H5Tset_size(type.get(), std::max<std::size_t>(text.size(), 1)), where, "cannot set its size");
  check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), where, "cannot set its padding");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), where, "cannot set its encoding");
  const Hdf5Handle space(check(H5Screate(H5S_SCALAR), where, "no memory"), close_space);
  Hdf5Handle attribute(
      check(H5Acreate2(handle_.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), where,
            "cannot be made"),
      close_attribute);
  const std::string value = text.empty() ? std::string(1, '\0') : std::string(text);
  check(H5Awrite(attribute.get(), type.get(), value.data()), where, "cannot write");
}

void Hdf5File::write_attribute(const char* name, std::int64_t value) {
  const Session session;
  const std::string where = path_.string() + ": attribute " + name;
  const Hdf5Handle space(check(H5Screate(H5S_SCALAR), where, "no memory"), close_space);
  Hdf5Handle attribute(
      check(H5Acreate2(handle_.get(), name, H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), where,
            "cannot be made"),
      close_attribute);
  check(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), where, "cannot write");
}

namespace {

Hdf5Handle open_scalar(hid_t file, const char* name, const std::string& where) {
  Hdf5Handle attribute(check(H5Aopen(file, name, H5P_DEFAULT), where, "is missing or damaged"),
                       close_attribute);
  const Hdf5Handle space(check(H5Aget_space(attribute.get()), where, "cannot read its shape"), close_space);
  require(H5Sget_simple_extent_npoints(space.get()) == 1, "{}: is not a single value", where);
  return attribute;
}

}  // namespace

bool Hdf5File::has_attribute(const char* name) const {
  const Session session;
  return check(H5Aexists(handle_.get(), name), path_.string(), "cannot look for attributes") > 0;
}

std::string Hdf5File::read_string(const char* name, std::size_t max_bytes) const {
  const Session session;
  const std::string where = path_.string() + ": attribute " + name;
  const Hdf5Handle attribute = open_scalar(handle_.get(), name, where);
  const Hdf5Handle type(check(H5Aget_type(attribute.get()), where, "cannot read its type"), close_type);
  require(H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0,
          "{}: is not a string of fixed length", where);
  const std::size_t size = H5Tget_size(type.get());
  require(size > 0 && size <= max_bytes, "{}: has {} bytes, more than {}", where, size, max_bytes);
  std::string value(size, '\0');
  check(H5Aread(attribute.get(), type.get(), value.data()), where, "cannot be read");
  value.resize(std::min(size, value.find('\0')));
  return value;
}

std::int64_t Hdf5File::read_int(const char* name) const {
  const Session session;
  const std::string where = path_.string() + ": attribute " + name;
  const Hdf5Handle attribute = open_scalar(handle_.get(), name, where);
  const Hdf5Handle type(check(H5Aget_type(attribute.get()), where, "cannot read its type"), close_type);
  require(H5Tequal(type.get(), H5T_STD_I64LE) > 0, "{}: is not a 64-bit integer", where);
  std::int64_t value = 0;
  check(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), where, "cannot be read");
  return value;
}

void Hdf5File::flush() {
  const Session session;
  check(H5Fflush(handle_.get(), H5F_SCOPE_LOCAL), path_.string(), "cannot be written out");
}

void Hdf5File::close() {
  const Session session;
  if (handle_.get() < 0) return;
  flush();
  check(handle_.close(), path_.string(), "cannot be closed");
}

}  // namespace ranktune
