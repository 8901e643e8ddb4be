#include "train/share_model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "comm/collectives.h"
#include "comm/make_communicator.h"
#include "ranks/rank_session.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace ranktune {
namespace {

/// Four shards with an index; every rank of every machine sees them.
const Path kModel = Path(RANKTUNE_TEST_DATA) / "golden" / "qwen2_gqa_tied" / "model";

/// The ranks as nodes of `ranks_per_node` (0: one node), with pieces much smaller than a file.
struct Nodes {
  explicit Nodes(int ranks_per_node)
      : options{.timeout = 60, .ranks_per_node = ranks_per_node},
        world(make_control_communicator(rank_session(), options, &activity)),
        node(make_node_communicator(rank_session(), options, &activity)),
        heads(make_node_heads_communicator(rank_session(), options, &activity)) {}
  ModelSharers sharers() {
    return {.world = *world, .node = *node, .node_heads = heads.get(), .activity = &activity, .piece = 10007};
  }
  Activity activity;
  CommOptions options;
  std::unique_ptr<Communicator> world, node, heads;
};

/// The files of the shared copies that this process maps.
std::set<std::string> mapped_copies() {
  std::set<std::string> inodes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:ranktune") == line.npos) continue;
    std::istringstream words(line);
    std::string range, rights, offset, device, inode;
    words >> range >> rights >> offset >> device >> inode;
    inodes.insert(inode);
  }
  return inodes;
}

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += name + " ";
  return text;
}

void expect_same_files(const ModelFiles& found) {
  const ModelFiles reference = open_model_files(kModel);
  EXPECT_EQ(found.config, reference.config);
  ASSERT_EQ(found.weights->tensors().size(), reference.weights->tensors().size());
  for (const TensorInfo* expected : reference.weights->tensors()) {
    const TensorInfo& tensor = found.weights->get(expected->name);
    EXPECT_EQ(tensor.dtype, expected->dtype);
    EXPECT_EQ(tensor.shape, expected->shape);
    EXPECT_TRUE(std::ranges::equal(tensor.data, expected->data)) << expected->name;
  }
  EXPECT_EQ(weights_fingerprint(*found.weights), weights_fingerprint(kModel));
}

class ShareModelFiles : public testing::TestWithParam<int> {};

TEST_P(ShareModelFiles, EveryRankGetsTheFilesBytes) {
  Nodes nodes(GetParam());
  for (const ModelRead read : {ModelRead::kAll, ModelRead::kNode, ModelRead::kRank0}) {
    const ModelFiles files = share_model_files(kModel, read, nodes.sharers());
    expect_same_files(files);
    const std::set<std::string> copies = mapped_copies();
    EXPECT_EQ(copies.size(), read == ModelRead::kAll ? 0u : files.weights->files().size());
    const auto on_node = all_gather_strings(*nodes.node, joined(copies));
    EXPECT_THAT(on_node, testing::Each(joined(copies))) << "a node's ranks must map the same memory";
    const auto on_heads = nodes.heads ? all_gather_strings(*nodes.heads, joined(copies)) : on_node;
    if (nodes.heads && read != ModelRead::kAll) {
      EXPECT_EQ(std::set(on_heads.begin(), on_heads.end()).size(), on_heads.size())
          << "each node has its own";
    }
  }
  EXPECT_TRUE(mapped_copies().empty());
}

TEST_P(ShareModelFiles, OnlyRankZeroNeedsTheFolder) {
  Nodes nodes(GetParam());
  const Path folder = nodes.world->rank() == 0 ? kModel : Path("/nowhere/model");
  expect_same_files(share_model_files(folder, ModelRead::kRank0, nodes.sharers()));
  if (nodes.world->size() > 1)
    expect_error([&] { share_model_files(folder, ModelRead::kAll, nodes.sharers()); }, "/nowhere/model");
  if (nodes.node->rank() == 0) {
    expect_same_files(share_model_files(kModel, ModelRead::kNode, nodes.sharers()));
  } else {
    expect_same_files(share_model_files("/nowhere/model", ModelRead::kNode, nodes.sharers()));
  }
}

TEST_P(ShareModelFiles, AReadersTroubleIsOneErrorOnAllRanks) {
  Nodes nodes(GetParam());
  for (const ModelRead read : {ModelRead::kAll, ModelRead::kNode, ModelRead::kRank0}) {
    const TempDir folder;
    std::filesystem::copy(kModel, folder.path(), std::filesystem::copy_options::recursive);
    const Path shard = folder / "model-00003-of-00004.safetensors";
    const auto share = [&] { share_model_files(folder.path(), read, nodes.sharers()); };
    std::filesystem::remove(shard);
    expect_error(share, "model-00003-of-00004.safetensors", "absent");
    // It says that it has 4096 bytes, but ends before.
    std::filesystem::create_symlink("/sys/kernel/mm/transparent_hugepage/enabled", shard);
    if (read != ModelRead::kAll) expect_error(share, "model-00003-of-00004.safetensors ends at byte", "4096");
    std::filesystem::remove(shard);
    std::filesystem::copy(kModel / "model-00001-of-00004.safetensors", shard);
    expect_error(share, "is also in another shard");
    std::filesystem::remove(folder / "config.json");
    expect_error(share, "config.json");
  }
  EXPECT_TRUE(mapped_copies().empty());
  EXPECT_EQ(all_reduce_value(*nodes.world, 1, ReduceOp::kSum), nodes.world->size());
}

TEST_P(ShareModelFiles, NodesWithDifferentModelsAreNoticed) {
  Nodes nodes(GetParam());
  const bool last = nodes.world->rank() == nodes.world->size() - 1;
  const TempDir folder;
  std::filesystem::copy(kModel, folder.path(), std::filesystem::copy_options::recursive);
  if (last) {
    Json config = read_json_file(folder / "config.json");
    config["rms_norm_eps"] = 1e-3;
    std::ofstream(folder / "config.json") << config;
  }
  const auto share = [&](ModelRead read) { share_model_files(folder.path(), read, nodes.sharers()); };
  if (nodes.world->size() > 1) {
    expect_error([&] { share(ModelRead::kAll); }, "differ in config.json", "rank0");
    const bool last_reads =
        all_reduce_value(*nodes.world, last && nodes.node->rank() == 0 ? 1 : 0, ReduceOp::kMax) == 1;
    if (last_reads) expect_error([&] { share(ModelRead::kNode); }, "differ in config.json", "rank0");
  }
  share(ModelRead::kRank0);
}

INSTANTIATE_TEST_SUITE_P(RanksPerNode, ShareModelFiles, testing::Values(0, 1, 2, 3));

}  // namespace
}  // namespace ranktune
