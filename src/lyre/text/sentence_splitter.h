#pragma once

#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// Cuts text into segments to be spoken one after another: at sentence ends (ICU), else at clause
/// borders, else between words, else, in scripts that write no blanks and after hyphens, where a
/// line may break; never inside a <tag> (text/tag.h). The segments are views that concatenate to
/// the text: no character is lost or repeated. White space belongs to the segment that it ends, a
/// tag before a sentence to that sentence.
///
/// Short sentences share a segment up to `most_characters` (code points without the white space at
/// the ends; at least 16), but an empty line always ends one; a single longer word or tag stays
/// whole. No segment is blank unless the whole text is, which then is one segment (none if it is
/// empty). kInvalidArgument for invalid UTF-8.
Result<std::vector<std::string_view>> split_sentences(std::string_view utf8, int most_characters);

/// True if nothing in the text can be spoken: white space, controls and format characters only.
/// Precondition: valid UTF-8.
bool is_blank(std::string_view utf8);

}  // namespace lyre
