#include "lyre/text/sentence_splitter.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "lyre/base/utf8.h"
#include "lyre/text/blank.h"
#include "lyre/text/code_point.h"
#include "lyre/text/text_borders.h"

namespace lyre {
namespace {

constexpr int64_t kFewestCharacters = 16;

// Of a piece of controls alone the difference is negative.
int64_t length(const std::vector<Border>& borders, size_t from, size_t to) {
  return std::max<int64_t>(0, borders[to].characters_kept - borders[from].characters);
}

// Of the borders in (begin, end] of at least this kind, the one that makes a piece of a length
// nearest to `ideal`, and not below `least`.
std::optional<size_t> nearest(const std::vector<Border>& borders, size_t begin, size_t end,
                              BorderKind kind, int64_t ideal, int64_t least) {
  std::optional<size_t> best;
  int64_t best_distance = std::numeric_limits<int64_t>::max();
  for (size_t k = begin + 1; k <= end; ++k) {
    const int64_t piece = length(borders, begin, k);
    const int64_t distance = std::max(piece - ideal, ideal - piece);
    if (borders[k].kind < kind || piece < least || distance >= best_distance) continue;
    best = k;
    best_distance = distance;
  }
  return best;
}

// Where the segment that begins at `begin` ends. `sentence_end[k]`: the first border after k that
// ends a sentence.
size_t next_cut(const std::vector<Border>& borders, const std::vector<size_t>& sentence_end,
                size_t begin, int64_t most) {
  std::optional<size_t> last_sentence;
  size_t last = begin;  // the last border in reach
  while (last + 1 < borders.size() && length(borders, begin, last + 1) <= most) {
    ++last;
    if (borders[last].kind >= BorderKind::kSentence) last_sentence = last;
    if (borders[last].kind == BorderKind::kParagraph) return last;
  }
  if (last_sentence) return *last_sentence;
  if (last == begin) return begin + 1;  // one longer word or tag
  // A longer sentence: pieces of about equal length rather than full ones and a crumb.
  const int64_t rest = length(borders, begin, sentence_end[begin]);
  const int64_t pieces = (rest + most - 1) / most;
  const int64_t ideal = (rest + pieces - 1) / pieces;
  // A clause border is worth pieces of unequal length, but not of half of it and less.
  if (const auto cut = nearest(borders, begin, last, BorderKind::kClause, ideal, ideal / 2))
    return *cut;
  if (const auto cut = nearest(borders, begin, last, BorderKind::kWord, ideal, 0)) return *cut;
  return *nearest(borders, begin, last, BorderKind::kLineBreak, ideal, 0);
}

bool is_one_segment(std::string_view text, int64_t most) {
  constexpr std::string_view kParagraphSeparator = "\u2029";
  return utf8_code_points(text) <= most && text.find_first_of("\n\r") == text.npos &&
         text.find("\u0085") == text.npos && text.find("\u2028") == text.npos &&
         text.find(kParagraphSeparator) == text.npos;
}

}  // namespace

Result<std::vector<std::string_view>> split_sentences(std::string_view utf8, int most_characters) {
  if (const std::optional<size_t> bad = find_invalid_utf8(utf8)) {
    return Error{ErrorCode::kInvalidArgument,
                 "text is not valid UTF-8 at byte " + std::to_string(*bad)};
  }
  if (utf8.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    return Error{ErrorCode::kInvalidArgument, "text is too long to split"};
  const int64_t most = std::max<int64_t>(most_characters, kFewestCharacters);
  if (utf8.empty()) return std::vector<std::string_view>{};
  if (is_one_segment(utf8, most)) return std::vector<std::string_view>{utf8};

  LYRE_ASSIGN_OR_RETURN(const std::vector<Border> borders, find_borders(utf8));
  std::vector<size_t> sentence_end(borders.size(), borders.size() - 1);
  for (size_t k = borders.size() - 1; k-- > 0;) {
    sentence_end[k] = borders[k + 1].kind >= BorderKind::kSentence ? k + 1 : sentence_end[k + 1];
  }
  std::vector<std::string_view> segments;
  size_t begin_byte = 0;
  for (size_t begin = 0; begin + 1 < borders.size();) {
    begin = next_cut(borders, sentence_end, begin, most);
    const size_t end_byte = borders[begin].byte;
    const std::string_view segment = utf8.substr(begin_byte, end_byte - begin_byte);
    // Controls alone are no segment: they join the one before, or wait for the one after.
    if (is_blank(segment)) {
      if (segments.empty()) continue;
      segments.back() = {segments.back().data(), segments.back().size() + segment.size()};
    } else {
      segments.push_back(segment);
    }
    begin_byte = end_byte;
  }
  if (segments.empty()) segments.push_back(utf8);
  return segments;
}

bool is_blank(std::string_view utf8) {
  for (size_t at = 0; at < utf8.size();) {
    const CodePoint point = decode_utf8(utf8, at);
    if (!is_blank_character(point.value)) return false;
    at += point.bytes;
  }
  return true;
}

}  // namespace lyre
