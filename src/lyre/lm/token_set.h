#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lyre/base/token.h"

namespace lyre {

/// The distinct ids of a sequence, for the repetition penalty: one bit a vocabulary row, so that a
/// step costs the candidates and not the history.
class TokenSet {
 public:
  TokenSet() = default;
  explicit TokenSet(int vocabulary) : words_((static_cast<size_t>(vocabulary) + 63) / 64) {}

  void clear() noexcept { std::fill(words_.begin(), words_.end(), 0); }
  // Precondition: 0 <= token < vocabulary.
  void insert(TokenId token) noexcept {
    words_[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
  }
  bool contains(TokenId token) const noexcept {
    return (words_[static_cast<size_t>(token) / 64] >> (token % 64) & 1) != 0;
  }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace lyre
