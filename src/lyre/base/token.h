#pragma once

#include <cstdint>
#include <vector>

namespace lyre {

/// Row of the language model's vocabulary.
using TokenId = int32_t;

/// Where the codec's codes lie in the vocabulary: slot k of a frame holds ids
/// [first_code + k * codebook_size, first_code + (k + 1) * codebook_size).
struct CodeLayout {
  static constexpr int kSlots = 7;  // ids a frame
  TokenId first_code = 0;
  int codebook_size = 0;
  std::vector<TokenId> stop_ids;  // any of these ends the speech; legal at slot 0 only

  TokenId slot_first(int slot) const { return first_code + slot * codebook_size; }
  TokenId end() const { return first_code + kSlots * codebook_size; }  // one past the last code id
};

}  // namespace lyre
