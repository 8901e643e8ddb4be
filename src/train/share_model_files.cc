#include "train/share_model_files.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "comm/collectives.h"
#include "storage/shared_memory.h"

namespace ranktune {
namespace {

/// What the readers find in the folder before they read a weight.
struct Inventory {
  Json config;
  WeightList list;
  std::vector<std::uint64_t> sizes;  ///< of list.files
};

Inventory take_inventory(const Path& folder) {
  Inventory found{.config = read_model_config(folder), .list = list_weights(folder), .sizes = {}};
  for (const std::string& name : found.list.files) found.sizes.push_back(PieceReader(folder / name).size());
  return found;
}

std::string to_text(const Inventory& inventory) {
  return Json{{"config", inventory.config},
              {"files", inventory.list.files},
              {"shard_of", inventory.list.shard_of},
              {"sizes", inventory.sizes}}
      .dump();
}

Inventory from_text(const std::string& text, const Path& folder) {
  const Json json = parse_json(text, "the reader's list of files");
  return {.config = json.at("config"),
          .list = {.folder = folder,
                   .files = json.at("files").get<std::vector<std::string>>(),
                   .shard_of = json.at("shard_of").get<std::map<std::string, std::string>>()},
          .sizes = json.at("sizes").get<std::vector<std::uint64_t>>()};
}

class Sharing {
 public:
  Sharing(const Path& folder, ModelRead read, const ModelSharers& sharers)
      : folder_(folder), read_(read), sharers_(sharers) {}

  ModelFiles run();

 private:
  bool node_head() const { return sharers_.node.rank() == 0; }
  /// Whether this rank opens the files.
  bool reader() const {
    return read_ == ModelRead::kAll || (read_ == ModelRead::kNode ? node_head() : sharers_.world.rank() == 0);
  }
  Inventory agree_on_inventory();
  void require_same_everywhere(const std::string& inventory);
  std::shared_ptr<SharedMemory> make_copy(const Path& path, std::uint64_t size);
  void fill(SharedMemory& copy, const Path& path);
  /// One piece on its way from the file to this rank's node; false when its reader could not read it.
  bool move_piece(std::span<std::byte> piece, std::uint64_t offset, const Path& path);

  const Path& folder_;
  ModelRead read_;
  const ModelSharers& sharers_;
  std::optional<PieceReader> file_;  ///< the one being read
  std::string problem_;              ///< what this reader met
};

Inventory Sharing::agree_on_inventory() {
  std::string text;
  together(sharers_.world, [&] {
    if (reader()) text = to_text(take_inventory(folder_));
  });
  if (read_ == ModelRead::kRank0) {
    broadcast_bytes(sharers_.world, text, 0);
  } else {
    if (read_ == ModelRead::kNode) broadcast_bytes(sharers_.node, text, 0);
    require_same_everywhere(text);
  }
  return from_text(text, folder_);
}

/// A node with another version of the model would train on without a word.
void Sharing::require_same_everywhere(const std::string& inventory) {
  const std::vector<std::string> hashes = all_gather_strings(sharers_.world, hash_hex(inventory));
  const auto other = std::find_if(hashes.begin(), hashes.end(),
                                  [&](const std::string& each) { return each != hashes.front(); });
  if (other == hashes.end()) return;
  throw AgreedError(fmt::format(
      "{} on rank 0 and on rank {} differ in config.json or in the weight files' names or sizes; give "
      "every node the same model, or set model.read = \"rank0\"",
      folder_.string(), other - hashes.begin()));
}

std::shared_ptr<SharedMemory> Sharing::make_copy(const Path& path, std::uint64_t size) {
  std::shared_ptr<SharedMemory> copy;
  std::vector<std::int64_t> where(4);
  together(sharers_.world, [&] {
    if (!node_head()) return;
    copy = SharedMemory::create(size, path.string());
    const SharedMemoryAddress address = copy->address();
    where = {address.process, address.descriptor, address.inode, address.size};
  });
  broadcast_vector(sharers_.node, where, 0);
  together(sharers_.world, [&] {
    if (node_head()) return;
    copy = SharedMemory::attach(
        {.process = where[0], .descriptor = where[1], .inode = where[2], .size = where[3]}, path.string());
  });
  return copy;
}

bool Sharing::move_piece(std::span<std::byte> piece, std::uint64_t offset, const Path& path) {
  bool fine = true;
  if (reader()) {
    try {
      if (!file_) file_.emplace(path);
      file_->read(offset, piece);
    } catch (const Error& error) {
      problem_ = error.what();
      fine = false;
    }
  }
  // The verdict travels with every piece, so that nobody waits for longer than one takes.
  if (read_ == ModelRead::kRank0 && sharers_.node_heads != nullptr) {
    fine = broadcast_value(*sharers_.node_heads, std::int32_t{fine}, 0) != 0;
    if (fine) broadcast(*sharers_.node_heads, piece, 0);
  }
  fine = broadcast_value(sharers_.node, std::int32_t{fine}, 0) != 0;
  if (sharers_.activity != nullptr) sharers_.activity->progress();
  return fine;
}

void Sharing::fill(SharedMemory& copy, const Path& path) {
  const std::uint64_t size = copy.bytes().size(), most = static_cast<std::uint64_t>(sharers_.piece);
  problem_.clear();
  for (std::uint64_t offset = 0; offset < size; offset += most) {
    const std::uint64_t count = std::min(most, size - offset);
    const std::span<std::byte> piece =
        node_head() ? copy.writable().subspan(offset, count) : std::span<std::byte>();
    if (!move_piece(piece, offset, path)) break;
  }
  file_.reset();
  together(sharers_.world, [&] { require(problem_.empty(), "{}", problem_); });
}

ModelFiles Sharing::run() {
  Inventory inventory = agree_on_inventory();
  std::map<Path, std::shared_ptr<SharedMemory>> copies;
  if (read_ != ModelRead::kAll) {
    for (std::size_t i = 0; i < inventory.sizes.size(); ++i) {
      const Path path = folder_ / inventory.list.files[i];
      fill(*(copies[path] = make_copy(path, inventory.sizes[i])), path);
    }
  }
  const auto shared = [&](const Path& path) {
    const std::shared_ptr<SharedMemory>& copy = copies.at(path);
    return FileBytes{copy->bytes(), copy};
  };
  ModelFiles files{.folder = folder_, .config = std::move(inventory.config), .weights = nullptr};
  together(sharers_.world, [&] {
    files.weights = std::make_shared<const WeightFiles>(
        std::move(inventory.list), read_ == ModelRead::kAll ? ByteSource(map_file) : ByteSource(shared));
  });
  return files;
}

}  // namespace

ModelRead model_read_of(std::string_view name) {
  if (name == "all") return ModelRead::kAll;
  if (name == "node") return ModelRead::kNode;
  require(name == "rank0", "model.read = \"{}\" is none of \"all\", \"node\", \"rank0\"", name);
  return ModelRead::kRank0;
}

ModelFiles share_model_files(const Path& folder, ModelRead read, const ModelSharers& sharers) {
  return Sharing(folder, read, sharers).run();
}

}  // namespace ranktune
