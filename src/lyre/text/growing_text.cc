#include "lyre/text/growing_text.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <optional>

#include "lyre/base/utf8.h"
#include "lyre/text/blank.h"
#include "lyre/text/code_point.h"
#include "lyre/text/sentence_splitter.h"
#include "lyre/text/tag.h"
#include "lyre/text/text_borders.h"

namespace lyre {
namespace {

// Longest tag, brackets included (text/tag.h): a "<" further back is none.
constexpr size_t kMostTagCharacters = 64;
// More bytes than any segment that has a border has.
constexpr size_t kLongPending = 4096;

/// Where a tag begins that may still be closed; the size of the text if there is none.
size_t begin_of_open_tag(std::string_view text) {
  const size_t open = text.rfind('<');
  if (open == text.npos || tag_bytes(text, open) > 0) return text.size();
  const std::string_view tail = text.substr(open);
  const bool cannot_begin = tail.size() > 1 && tail[1] != '/' &&
                            !u_isalpha(static_cast<UChar32>(decode_utf8(tail, 1).value));
  const bool is_none = cannot_begin || tail.find('>') != tail.npos ||
                       tail.find('\n') != tail.npos ||
                       utf8_code_points(tail) > static_cast<int64_t>(kMostTagCharacters);
  return is_none ? text.size() : open;
}

// Without a letter so many characters are waited for: numbers that are read out have none.
constexpr int kMostUnsettled = 24;

/// Borders up to this byte are settled. A letter behind a border shows whether it is one: sentences
/// go on with a small letter, whatever quotes, brackets and digits come before it.
size_t settled_bytes(std::string_view text) {
  size_t at = begin_of_open_tag(text);
  for (int characters = 0; at > 0 && characters < kMostUnsettled; ++characters) {
    do {
      --at;
    } while ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
    if (u_isalpha(static_cast<UChar32>(decode_utf8(text, at).value))) break;
  }
  return at;
}

int64_t length(const std::vector<Border>& borders, size_t from, size_t to) {
  return std::max<int64_t>(0, borders[to].characters_kept - borders[from].characters);
}

}  // namespace

Status GrowingText::append(std::string_view utf8, std::vector<std::string>& ready) {
  if (const auto offset = find_invalid_utf8(utf8)) {
    return Error{ErrorCode::kInvalidArgument,
                 "text: expected UTF-8, found none at byte " + std::to_string(*offset)};
  }
  pending_ += utf8;
  // A word without end: to look through it again for each of its letters would take for ever.
  if (pending_.size() > kLongPending && pending_.size() < 2 * looked_through_) return ok_status();
  LYRE_RETURN_IF_ERROR(cut(false, ready));
  looked_through_ = pending_.size();
  return ok_status();
}

Status GrowingText::flush(std::vector<std::string>& ready) {
  const Status status = cut(true, ready);
  pending_.clear();
  looked_through_ = 0;
  first_ = true;
  return status;
}

Status GrowingText::cut(bool complete, std::vector<std::string>& ready) {
  if (is_blank(pending_)) return ok_status();
  LYRE_ASSIGN_OR_RETURN(const std::vector<Border> borders, find_borders(pending_));
  // The last border that may be used: the end of the text is one only if it is complete.
  size_t last = borders.size() - 1;
  if (!complete) {
    const size_t settled = settled_bytes(pending_);
    while (last > 0 && (last + 1 == borders.size() || borders[last].byte > settled)) --last;
  }
  size_t begin = 0;
  const auto give_out = [&](size_t end) {
    const size_t first_byte = borders[begin].byte;
    std::string segment = pending_.substr(first_byte, borders[end].byte - first_byte);
    begin = end;
    if (is_blank(segment)) return;
    ready.push_back(std::move(segment));
    first_ = false;
  };
  for (size_t end = next_cut(borders, 0, last); end != 0; end = next_cut(borders, begin, last)) {
    give_out(end);
  }
  if (complete) {
    if (begin < last) give_out(last);
    return ok_status();
  }
  pending_.erase(0, borders[begin].byte);
  return ok_status();
}

size_t GrowingText::next_cut(const std::vector<Border>& borders, size_t begin, size_t last) const {
  const int64_t sentence = first_ ? 1 : pacing_.least_characters;
  const int64_t clause = first_ ? pacing_.first_clause_characters : pacing_.clause_characters;
  const int64_t most = first_ ? pacing_.first_most_characters : pacing_.most_characters;
  std::optional<size_t> best;  // the last border within `most`, of the best kind there is
  for (size_t k = begin + 1; k <= last; ++k) {
    const int64_t characters = length(borders, begin, k);
    const BorderKind kind = borders[k].kind;
    if (characters > most) return best.value_or(k);
    if (characters == 0) continue;
    if (kind == BorderKind::kParagraph) return k;
    if (kind == BorderKind::kSentence && characters >= sentence) return k;
    if (kind == BorderKind::kClause && characters >= clause) return k;
    const auto rank = [](BorderKind which) { return std::min(which, BorderKind::kClause); };
    if (!best || rank(kind) >= rank(borders[*best].kind)) best = k;
  }
  return 0;
}

}  // namespace lyre
