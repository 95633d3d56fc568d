#pragma once

#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// Cuts text into segments to be spoken one after another: at sentence ends (ICU), else at clause
/// borders, else between words; never inside a <tag>. The segments are views that concatenate to
/// the text: no character is lost or repeated. Short sentences share a segment up to
/// `most_characters` (code points, at least 16); a single longer word or tag stays whole.
/// kInvalidArgument for invalid UTF-8.
Result<std::vector<std::string_view>> split_sentences(std::string_view utf8, int most_characters);

/// True if nothing in the text can be spoken: white space, controls and format characters only.
bool is_blank(std::string_view utf8);

}  // namespace lyre
