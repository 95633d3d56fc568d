#pragma once

#include <cstdint>

#include "lyre/lm/sequence_table.h"

namespace lyre::cuda {

/// Elements of a head of one token that share a scale where keys and values are e4m3: one tile of
/// the projection that makes them.
inline constexpr int kKvGroup = 16;

/// Keys and values of one layer in pages of kPageTokens tokens; heads as the projection leaves them
/// (stored_dim() for keys). Element (page, which, head, token in page, at) of
/// (pages, 2, kv_heads, kPageTokens, D), which: 0 keys, 1 values.
struct KvLayer {
  void* data = nullptr;            // bf16, or e4m3
  void* scales = nullptr;          // bf16, one for kKvGroup elements; null for bf16 data
  const int32_t* pages = nullptr;  // (max_sequences, max_pages): page numbers
  int max_pages = 0;
  int kv_heads = 0;
  int head_dim = 0;
};

inline constexpr int kKvPageTokens = SequenceTable::kPageTokens;

}  // namespace lyre::cuda
