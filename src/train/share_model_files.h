#pragma once

#include <cstdint>
#include <string_view>

#include "comm/activity.h"
#include "comm/communicator.h"
#include "model/model_files.h"

namespace ranktune {

/// Who opens the files of a model folder.
enum class ModelRead {
  kAll,    ///< every rank maps them; the ranks of a node share the page cache
  kNode,   ///< the first rank of each node reads them into memory that the node's ranks share
  kRank0,  ///< rank 0 reads them and sends them on; each node keeps one copy. The others need no such folder
};

/// "all", "node", "rank0"; throws for others.
ModelRead model_read_of(std::string_view name);

/// The ranks that share the files of a model.
struct ModelSharers {
  Communicator& world;
  Communicator& node;            ///< the ranks of this machine
  Communicator* node_heads;      ///< the first rank of every machine; null on the others
  Activity* activity = nullptr;  ///< told of every piece
  /// Bytes that are read, and sent, at once.
  std::int64_t piece = std::int64_t{1} << 24;
};

/// config.json and the weights of `folder` on every rank. Collective over sharers.world. With kAll and kNode
/// the folders of all nodes must hold the same model. What goes wrong on one rank (no such folder, a file
/// that ends early, too little memory) is thrown as the same Error by all.
ModelFiles share_model_files(const Path& folder, ModelRead read, const ModelSharers& sharers);

}  // namespace ranktune
