#pragma once

#include <string>
#include <string_view>

namespace lyre {

/// The text as a model should read it. Ordinary text comes back unchanged; otherwise
/// - white space of any kind and length becomes one blank, none at the ends;
/// - control and invisible format characters go (a joiner between letters stays: Persian and the
///   scripts of India spell with it);
/// - "!!!" becomes "!", "?!?!" becomes "?!", likewise commas, colons and their kin in other
/// scripts;
///   dots are at most three; any other punctuation or symbol repeated more than three times is
///   written once.
/// Tags (text/tag.h) are kept as they are. Runs of punctuation make models stumble. Precondition:
/// valid UTF-8.
std::string speakable_text(std::string_view utf8);

}  // namespace lyre
