#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lyre/base/token.h"
#include "lyre/text/piece_table.h"

namespace lyre {

/// An added token found in a text: bytes [begin, end), with the white space that lstrip and rstrip
/// take in.
struct AddedTokenMatch {
  size_t begin, end;
  TokenId id;
};

/// The tokens that a tokenizer.json names besides the BPE pieces (control tokens, codes), found in
/// text as the reference finds them: leftmost, then longest; those that are not "normalized" first.
/// Const methods: any thread.
class AddedTokens {
 public:
  struct Flags {
    bool single_word = false;  // not next to a word character
    bool lstrip = false;       // takes in the white space before it
    bool rstrip = false;       // takes in the white space after it
    bool normalized = false;   // searched for after the others
  };

  /// Preconditions as PieceTable::insert, and content is not empty. False if another token has this
  /// content.
  bool insert(std::string_view content, TokenId id, Flags flags);

  TokenId find(std::string_view content) const noexcept { return contents_.find(content); }
  /// Appends the matches in order; they do not overlap. Precondition: valid UTF-8.
  void find_all(std::string_view text, std::vector<AddedTokenMatch>& matches) const;

 private:
  struct Pass {
    std::array<bool, 256> first_byte{};
    std::vector<uint32_t> lengths;  // distinct, longest first
  };
  void find_pass(const Pass& pass, bool normalized, std::string_view text, size_t begin, size_t end,
                 std::vector<AddedTokenMatch>& matches) const;

  PieceTable contents_;
  std::vector<Flags> flags_;  // by id
  Pass passes_[2];            // by `normalized`
};

}  // namespace lyre
