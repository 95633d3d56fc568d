#include "lyre/text/added_tokens.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "lyre/text/blank.h"
#include "lyre/text/code_point.h"

namespace lyre {
namespace {

// \w of Unicode's regular expressions (UTS 18, annex C).
bool is_word_character(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  return u_hasBinaryProperty(code, UCHAR_ALPHABETIC) != 0 ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL) != 0 ||
         (U_GET_GC_MASK(code) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

// Start of the character that ends before `at` (> 0) in valid UTF-8.
size_t previous_character(std::string_view text, size_t at) {
  do {
    --at;
  } while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

}  // namespace

bool AddedTokens::insert(std::string_view content, TokenId id, Flags flags) {
  if (!contents_.insert(content, id)) return false;
  flags_.resize(std::max(flags_.size(), static_cast<size_t>(id) + 1));
  flags_[static_cast<size_t>(id)] = flags;
  Pass& pass = passes_[flags.normalized ? 1 : 0];
  pass.first_byte[static_cast<uint8_t>(content[0])] = true;
  const auto length = static_cast<uint32_t>(content.size());
  const auto place =
      std::lower_bound(pass.lengths.begin(), pass.lengths.end(), length, std::greater<>());
  if (place == pass.lengths.end() || *place != length) pass.lengths.insert(place, length);
  return true;
}

void AddedTokens::find_all(std::string_view text, std::vector<AddedTokenMatch>& matches) const {
  std::vector<AddedTokenMatch> first;
  find_pass(passes_[0], false, text, 0, text.size(), first);
  size_t begin = 0;
  for (const AddedTokenMatch& match : first) {
    find_pass(passes_[1], true, text, begin, match.begin, matches);
    matches.push_back(match);
    begin = match.end;
  }
  find_pass(passes_[1], true, text, begin, text.size(), matches);
}

void AddedTokens::find_pass(const Pass& pass, bool normalized, std::string_view text, size_t begin,
                            size_t end, std::vector<AddedTokenMatch>& matches) const {
  // What lies outside [begin, end) does not exist for this pass.
  text = text.substr(0, end);
  size_t free_from = begin;  // end of the last match
  for (size_t at = begin; at < end;) {
    TokenId id = PieceTable::kNone;
    size_t length = 0;
    if (pass.first_byte[static_cast<uint8_t>(text[at])]) {
      for (const uint32_t candidate : pass.lengths) {
        if (candidate > end - at) continue;
        id = contents_.find(text.substr(at, candidate));
        if (id != PieceTable::kNone && flags_[static_cast<size_t>(id)].normalized != normalized)
          id = PieceTable::kNone;
        length = candidate;
        if (id != PieceTable::kNone) break;
      }
    }
    if (id == PieceTable::kNone) {
      ++at;
      continue;
    }
    const Flags flags = flags_[static_cast<size_t>(id)];
    AddedTokenMatch match{at, at + length, id};
    at += length;
    if (flags.single_word) {
      const bool word_before =
          match.begin > begin &&
          is_word_character(decode_utf8(text, previous_character(text, match.begin)).value);
      const bool word_after =
          match.end < end && is_word_character(decode_utf8(text, match.end).value);
      if (word_before || word_after) continue;
    }
    if (flags.lstrip) {
      while (match.begin > free_from) {
        const size_t previous = previous_character(text, match.begin);
        if (!is_white_space(decode_utf8(text, previous).value)) break;
        match.begin = previous;
      }
    }
    if (flags.rstrip) {
      while (match.end < end) {
        const CodePoint next = decode_utf8(text, match.end);
        if (!is_white_space(next.value)) break;
        match.end += next.bytes;
      }
    }
    // An earlier rstrip can reach over white space that is itself a token.
    if (match.begin < free_from) continue;
    matches.push_back(match);
    free_from = match.end;
    at = std::max(at, match.end);
  }
}

}  // namespace lyre
