#include "lyre/text/merge_table.h"

#include <algorithm>
#include <bit>

namespace lyre {
namespace {

constexpr size_t kFewestSlots = 64;

uint64_t pair_of(TokenId left, TokenId right) {
  return (uint64_t{static_cast<uint32_t>(left)} << 32) | static_cast<uint32_t>(right);
}

// The heap of the standard library keeps its largest on top: lowest rank, then leftmost, is "last".
bool comes_later(const MergeTable::Candidate& a, const MergeTable::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

void MergeTable::reserve(size_t merges) { grow(std::bit_ceil(2 * merges)); }

void MergeTable::insert(TokenId left, TokenId right, Merge merge) {
  if (2 * (used_ + 1) > slots_.size()) grow(std::max(kFewestSlots, 2 * slots_.size()));
  const uint64_t pair = pair_of(left, right);
  const size_t mask = slots_.size() - 1;
  size_t slot = slot_of(pair, mask);
  while (slots_[slot].merge.rank != kNoRank && slots_[slot].pair != pair) slot = (slot + 1) & mask;
  if (slots_[slot].merge.rank == kNoRank) ++used_;
  slots_[slot] = {pair, merge};
}

MergeTable::Merge MergeTable::find(TokenId left, TokenId right) const noexcept {
  if (slots_.empty()) return {};
  const uint64_t pair = pair_of(left, right);
  const size_t mask = slots_.size() - 1;
  for (size_t slot = slot_of(pair, mask); slots_[slot].merge.rank != kNoRank;
       slot = (slot + 1) & mask) {
    if (slots_[slot].pair == pair) return slots_[slot].merge;
  }
  return {};
}

void MergeTable::apply(std::span<const TokenId> pieces, Scratch& scratch,
                       std::vector<TokenId>& out) const {
  if (pieces.size() < 2) {
    out.insert(out.end(), pieces.begin(), pieces.end());
    return;
  }
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<Candidate>& heap = scratch.heap;
  const auto count = static_cast<int32_t>(pieces.size());
  symbols.resize(pieces.size());
  heap.clear();
  for (int32_t k = 0; k < count; ++k) {
    const auto at = static_cast<size_t>(k);
    const bool last = k + 1 == count;
    const Merge merge = last ? Merge{} : find(pieces[at], pieces[at + 1]);
    symbols[at] = {pieces[at], k - 1, last ? -1 : k + 1, merge};
    if (merge.rank != kNoRank) heap.push_back({merge.rank, k});
  }
  std::make_heap(heap.begin(), heap.end(), comes_later);

  const auto pair_up = [&](int32_t position) {
    Symbol& left = symbols[static_cast<size_t>(position)];
    left.merge =
        left.next < 0 ? Merge{} : find(left.id, symbols[static_cast<size_t>(left.next)].id);
    if (left.merge.rank == kNoRank) return;
    heap.push_back({left.merge.rank, position});
    std::push_heap(heap.begin(), heap.end(), comes_later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), comes_later);
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.position)];
    // Ranks name pairs, so another rank means that one of the two has merged since.
    if (left.merge.rank != best.rank) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    left.id = left.merge.id;
    left.next = right.next;
    right.merge = Merge{};
    if (right.next >= 0) symbols[static_cast<size_t>(right.next)].previous = best.position;
    pair_up(best.position);
    if (left.previous >= 0) pair_up(left.previous);
  }
  for (int32_t k = 0; k >= 0; k = symbols[static_cast<size_t>(k)].next)
    out.push_back(symbols[static_cast<size_t>(k)].id);
}

size_t MergeTable::slot_of(uint64_t pair, size_t mask) noexcept {
  // The finaliser of SplitMix64 (Steele, Lea, Flood, 2014): neighbouring pairs lie far apart.
  pair = (pair ^ (pair >> 30)) * 0xBF58476D1CE4E5B9u;
  pair = (pair ^ (pair >> 27)) * 0x94D049BB133111EBu;
  return static_cast<size_t>(pair ^ (pair >> 31)) & mask;
}

void MergeTable::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  old.swap(slots_);
  const size_t mask = slots - 1;
  for (const Slot& entry : old) {
    if (entry.merge.rank == kNoRank) continue;
    size_t slot = slot_of(entry.pair, mask);
    while (slots_[slot].merge.rank != kNoRank) slot = (slot + 1) & mask;
    slots_[slot] = entry;
  }
}

}  // namespace lyre
