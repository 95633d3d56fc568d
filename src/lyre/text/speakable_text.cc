#include "lyre/text/speakable_text.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "lyre/text/blank.h"
#include "lyre/text/code_point.h"
#include "lyre/text/tag.h"

namespace lyre {
namespace {

constexpr char32_t kNonJoiner = 0x200C, kJoiner = 0x200D;
constexpr size_t kMostDots = 3;
constexpr size_t kMostOfOthers = 3;

uint32_t category(char32_t c) { return U_GET_GC_MASK(static_cast<UChar32>(c)); }

bool is_letter_or_mark(char32_t c) { return (category(c) & (U_GC_L_MASK | U_GC_M_MASK)) != 0; }

bool is_dot(char32_t c) { return c == '.'; }

// Ends of sentences and clauses, of all scripts: ! ? , ; : and the like.
bool is_stop_mark(char32_t c) {
  return !is_dot(c) &&
         u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_TERMINAL_PUNCTUATION) != 0;
}

// Runs of marks in which each is written once, whatever their order.
bool is_exclamation(char32_t c) {
  constexpr std::u32string_view kMarks =
      U"!?\u00A1\u00BF\u061F\uFF01\uFF1F\u203C\u2047\u2048\u2049";
  return kMarks.find(c) != std::u32string_view::npos;
}

size_t run_length(const std::u32string& text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && text[end] == text[at]) ++end;
  return end - at;
}

// Appends a stretch without tags; `space` is a blank that is due before the next character.
void append_stretch(std::u32string_view stretch, bool& space, std::string& out) {
  std::u32string visible;
  for (size_t at = 0; at < stretch.size(); ++at) {
    const char32_t c = stretch[at];
    const bool joins = (c == kNonJoiner || c == kJoiner) && !visible.empty() &&
                       is_letter_or_mark(visible.back()) && at + 1 < stretch.size() &&
                       is_letter_or_mark(stretch[at + 1]);
    if (is_white_space(c) || joins || !is_blank_character(c)) visible.push_back(c);
  }
  const auto append = [&](char32_t c, size_t times) {
    if (space && !out.empty()) out.push_back(' ');
    space = false;
    for (; times > 0; --times) append_utf8(c, out);
  };
  for (size_t at = 0; at < visible.size();) {
    const char32_t c = visible[at];
    if (is_white_space(c)) {
      space = true;
      ++at;
    } else if (is_exclamation(c)) {
      std::u32string seen;
      for (; at < visible.size() && is_exclamation(visible[at]); ++at) {
        if (seen.find(visible[at]) != seen.npos) continue;
        seen.push_back(visible[at]);
        append(visible[at], 1);
      }
    } else {
      const size_t run = run_length(visible, at);
      size_t times = run;
      if (is_dot(c)) {
        times = std::min(run, kMostDots);
      } else if (is_stop_mark(c)) {
        times = 1;
      } else if ((category(c) & (U_GC_P_MASK | U_GC_S_MASK)) != 0 && run > kMostOfOthers) {
        times = 1;
      }
      append(c, times);
      at += run;
    }
  }
}

}  // namespace

std::string speakable_text(std::string_view utf8) {
  std::string out;
  out.reserve(utf8.size());
  bool space = false;
  std::u32string stretch;
  for (size_t at = 0; at < utf8.size();) {
    if (const size_t tag = tag_bytes(utf8, at); tag > 0) {
      append_stretch(stretch, space, out);
      stretch.clear();
      if (space && !out.empty()) out.push_back(' ');
      space = false;
      out += utf8.substr(at, tag);
      at += tag;
      continue;
    }
    const CodePoint point = decode_utf8(utf8, at);
    stretch.push_back(point.value);
    at += point.bytes;
  }
  append_stretch(stretch, space, out);
  return out;
}

}  // namespace lyre
