#pragma once

#include <cstdint>
#include <span>

#include "lyre/lm/sequence_table.h"

namespace lyre::cpu {

enum class KvType : uint8_t { kF16, kF32 };

/// Keys and values of one KV head in one page lie together: keys transposed, (D, kPageTokens), so
/// that a vector holds one element of many positions and no score needs a sum across lanes; then
/// values, (kPageTokens, width), one row a position, padded with zeros to whole vectors.
struct KvGeometry {
  KvType type = KvType::kF16;
  int head_dim = 0;  // D

  static constexpr int kPageTokens = SequenceTable::kPageTokens;
  /// D rounded up to 16, the widest vector.
  int64_t width() const noexcept { return (head_dim + 15) / 16 * 16; }
  int64_t element_bytes() const noexcept { return type == KvType::kF16 ? 2 : 4; }
  int64_t values_offset_bytes() const noexcept { return head_dim * kPageTokens * element_bytes(); }
  int64_t bytes() const noexcept {
    return values_offset_bytes() + width() * kPageTokens * element_bytes();
  }
};

/// Writes key (D,) as position `slot` of a page's head.
void store_key(const KvGeometry& geometry, const float* key, int slot, std::byte* head);
/// Writes value (D,) likewise.
void store_value(const KvGeometry& geometry, const float* value, int slot, std::byte* head);

/// Attention of query heads that share one KV head, over positions 0 .. length-1.
struct AttentionTask {
  /// So many heads read the keys and values together; more go in turns.
  static constexpr int kHeadsAtOnce = 4;

  const float* queries = nullptr;  // (heads, D), rotated, multiplied by 1/sqrt(D)
  int heads = 1;
  const std::byte* pool = nullptr;  // the head's part of page p lies at pool + p * page_bytes
  int64_t page_bytes = 0;
  std::span<const int32_t> pages;  // of the sequence, in order of position
  int length = 0;
};

struct AttentionScratch {
  float* scores = nullptr;  // (kHeadsAtOnce, positions)
  int64_t positions = 0;    // whole pages, at least the length
  float* sums = nullptr;    // (kHeadsAtOnce, width)
};

/// out (heads, D). The order of all sums depends on the length only, not on how many heads are
/// computed together.
void attend(const KvGeometry& geometry, const AttentionTask& task, const AttentionScratch& scratch,
            float* out);

}  // namespace lyre::cpu
