#include "lyre/text/piece_table.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "lyre/base/check.h"

namespace lyre {
namespace {

constexpr size_t kFewestSlots = 64;

uint32_t hash_of(std::string_view bytes) {
  const size_t hash = std::hash<std::string_view>{}(bytes);
  return static_cast<uint32_t>(hash ^ (hash >> 32));
}

}  // namespace

void PieceTable::reserve(size_t pieces, size_t bytes) {
  arena_.reserve(bytes);
  spans_.reserve(pieces);
  grow(std::bit_ceil(2 * pieces));
}

bool PieceTable::insert(std::string_view bytes, TokenId id) {
  if (2 * (used_ + 1) > slots_.size()) grow(std::max(kFewestSlots, 2 * slots_.size()));
  const uint32_t hash = hash_of(bytes);
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot].id != kNone; slot = (slot + 1) & mask) {
    if (slots_[slot].hash == hash && at(slots_[slot].span) == bytes) return false;
  }
  set(bytes, id);
  slots_[slot] = {hash, id, spans_[static_cast<size_t>(id)]};
  ++used_;
  return true;
}

void PieceTable::set(std::string_view bytes, TokenId id) {
  LYRE_CHECK(id >= 0 && id < kIdLimit && !has(id));
  LYRE_CHECK(arena_.size() + bytes.size() < kAbsent);
  const auto index = static_cast<size_t>(id);
  if (index >= spans_.size()) spans_.resize(index + 1, Span{0, kAbsent});
  spans_[index] = {static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(bytes.size())};
  arena_.append(bytes);
}

TokenId PieceTable::find(std::string_view bytes) const noexcept {
  if (slots_.empty()) return kNone;
  const uint32_t hash = hash_of(bytes);
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask; slots_[slot].id != kNone; slot = (slot + 1) & mask) {
    if (slots_[slot].hash == hash && at(slots_[slot].span) == bytes) return slots_[slot].id;
  }
  return kNone;
}

bool PieceTable::has(TokenId id) const noexcept {
  return id >= 0 && static_cast<size_t>(id) < spans_.size() &&
         spans_[static_cast<size_t>(id)].length != kAbsent;
}

std::string_view PieceTable::bytes(TokenId id) const noexcept {
  return has(id) ? at(spans_[static_cast<size_t>(id)]) : std::string_view();
}

std::string_view PieceTable::at(Span span) const noexcept {
  return {arena_.data() + span.offset, span.length};
}

int PieceTable::size() const noexcept { return static_cast<int>(spans_.size()); }

void PieceTable::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  old.swap(slots_);
  const size_t mask = slots - 1;
  for (const Slot& entry : old) {
    if (entry.id == kNone) continue;
    size_t slot = entry.hash & mask;
    while (slots_[slot].id != kNone) slot = (slot + 1) & mask;
    slots_[slot] = entry;
  }
}

}  // namespace lyre
