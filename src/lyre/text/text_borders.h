#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// A place where text may be cut, in the order of preference.
enum class BorderKind : uint8_t {
  kLineBreak,  // between words written without blanks, or after a hyphen
  kWord,       // after white space, before and after a tag
  kClause,     // after a comma, a colon, a dash or their kin
  kSentence,
  kParagraph,  // after an empty line; also the begin and the end of the text
};

struct Border {
  BorderKind kind;
  size_t byte;              // where the text after it begins, at a character that is not blank
  int64_t characters;       // code points before `byte`
  int64_t characters_kept;  // the same without the white space just before it
};

/// All borders of a text, the begin and the end included. A piece of text from border a to border b
/// has b.characters_kept - a.characters code points, white space at its ends not counted.
/// Preconditions: valid UTF-8 below 2 GiB. kInternal if ICU fails.
Result<std::vector<Border>> find_borders(std::string_view text);

}  // namespace lyre
