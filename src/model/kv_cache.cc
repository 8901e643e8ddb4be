#include "model/kv_cache.h"

#include <algorithm>
#include <utility>

namespace ranktune {
namespace {

void grow(torch::Tensor& buffer, const torch::Tensor& like, std::int64_t used, std::int64_t needed) {
  if (buffer.defined() && buffer.size(0) >= needed) return;
  constexpr std::int64_t kFirstRoom = 128;
  const std::int64_t room = std::max({kFirstRoom, needed, buffer.defined() ? buffer.size(0) * 2 : 0});
  torch::Tensor larger = torch::empty({room, like.size(1), like.size(2)}, like.options());
  if (used > 0) larger.narrow(0, 0, used).copy_(buffer.narrow(0, 0, used));
  buffer = std::move(larger);
}

}  // namespace

std::pair<torch::Tensor, torch::Tensor> KvCache::append(std::int64_t layer, const torch::Tensor& k,
                                                        const torch::Tensor& v) {
  Entry& entry = entries_[static_cast<std::size_t>(layer)];
  const std::int64_t count = k.size(0), total = length_ + count;
  grow(entry.k, k, length_, total);
  grow(entry.v, v, length_, total);
  entry.k.narrow(0, length_, count).copy_(k);
  entry.v.narrow(0, length_, count).copy_(v);
  return {entry.k.narrow(0, 0, total), entry.v.narrow(0, 0, total)};
}

}  // namespace ranktune
