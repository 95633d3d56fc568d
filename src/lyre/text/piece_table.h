#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/token.h"

namespace lyre {

/// Byte strings by id, and ids by byte string: one arena for all bytes and one flat hash table
/// (open addressing), so that 128,000 pieces cost a handful of allocations. Const methods: any
/// thread.
class PieceTable {
 public:
  static constexpr TokenId kNone = -1;
  /// Ids at or above this are refused by the file reader: the tables are indexed by id.
  static constexpr int64_t kIdLimit = int64_t{1} << 22;

  void reserve(size_t pieces, size_t bytes);
  /// Preconditions: 0 <= id < kIdLimit, has(id) is false, the arena stays below 4 GiB. False, and
  /// no change, if another id has these bytes.
  bool insert(std::string_view bytes, TokenId id);
  /// For bytes(id) only: find() does not see it. Same preconditions.
  void set(std::string_view bytes, TokenId id);

  TokenId find(std::string_view bytes) const noexcept;
  bool has(TokenId id) const noexcept;
  std::string_view bytes(TokenId id) const noexcept;  // empty for ids without a piece
  int size() const noexcept;                          // largest id + 1

 private:
  struct Span {
    uint32_t offset;
    uint32_t length;
  };
  struct Slot {
    uint32_t hash;
    TokenId id = kNone;
    Span span;  // again: a look-up then misses the cache twice and not three times
  };
  static constexpr uint32_t kAbsent = ~uint32_t{0};

  std::string_view at(Span span) const noexcept;
  void grow(size_t slots);

  std::string arena_;
  std::vector<Span> spans_;  // by id; length kAbsent: no piece
  std::vector<Slot> slots_;  // a power of two
  size_t used_ = 0;
};

}  // namespace lyre
