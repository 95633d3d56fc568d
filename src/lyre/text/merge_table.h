#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lyre/base/token.h"

namespace lyre {

/// The merges of a BPE model: pairs of neighbouring pieces that become one, lowest rank first.
/// Const methods: any thread.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = kNoRank;
    TokenId id = -1;  // the piece that the pair becomes
  };
  static constexpr uint32_t kNoRank = ~uint32_t{0};

  void reserve(size_t merges);
  /// A pair that comes again takes its new rank, as in the reference.
  void insert(TokenId left, TokenId right, Merge merge);
  Merge find(TokenId left, TokenId right) const noexcept;  // rank kNoRank: does not merge

  /// Work space of apply(), reused from word to word.
  struct Symbol {
    TokenId id;
    int32_t previous, next;  // -1: none
    Merge merge;             // of this symbol with its next
  };
  struct Candidate {
    uint32_t rank;
    int32_t position;
  };
  struct Scratch {
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  /// Merges the word until no pair is left to merge, always the pair of lowest rank, the leftmost
  /// of equals; O(n log n). Appends the ids. Precondition: fewer than 2^31 pieces.
  void apply(std::span<const TokenId> pieces, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  struct Slot {
    uint64_t pair;
    Merge merge;
  };
  static size_t slot_of(uint64_t pair, size_t mask) noexcept;
  void grow(size_t slots);

  std::vector<Slot> slots_;  // open addressing, a power of two
  size_t used_ = 0;
};

}  // namespace lyre
