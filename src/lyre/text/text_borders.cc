#include "lyre/text/text_borders.h"

#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/utext.h>

#include <algorithm>
#include <memory>
#include <string>

#include "lyre/text/abbreviations.h"
#include "lyre/text/blank.h"
#include "lyre/text/code_point.h"
#include "lyre/text/tag.h"

namespace lyre {
namespace {

struct CloseIterator {
  void operator()(UBreakIterator* iterator) const noexcept { ubrk_close(iterator); }
};
struct CloseText {
  void operator()(UText* text) const noexcept { utext_close(text); }
};

// Calls visit(byte) for each border of ICU's iterator inside the text.
template <class Visit>
Status visit_breaks(UBreakIteratorType type, std::string_view text, Visit visit) {
  UErrorCode error = U_ZERO_ERROR;
  const std::unique_ptr<UText, CloseText> source(
      utext_openUTF8(nullptr, text.data(), static_cast<int64_t>(text.size()), &error));
  // The root rules: they know all scripts, and texts do not say their language.
  const std::unique_ptr<UBreakIterator, CloseIterator> iterator(
      ubrk_open(type, "", nullptr, 0, &error));
  if (U_SUCCESS(error)) ubrk_setUText(iterator.get(), source.get(), &error);
  if (U_FAILURE(error)) {
    return Error{ErrorCode::kInternal,
                 std::string("ICU's break iterator failed: ") + u_errorName(error)};
  }
  for (int32_t at = ubrk_first(iterator.get()); at != UBRK_DONE; at = ubrk_next(iterator.get())) {
    const auto byte = static_cast<size_t>(at);
    if (byte > 0 && byte < text.size()) visit(byte);
  }
  return ok_status();
}

// A white space at which a line may not be broken.
bool is_no_break_space(char32_t c) { return c == 0xA0 || c == 0x2007 || c == 0x202F; }

// How many line ends a character is: U+2029 ends a paragraph.
int line_ends(char32_t c) {
  if (c == 0x2029) return 2;
  return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 ? 1 : 0;
}

bool is_clause_mark(char32_t c) {
  constexpr std::u32string_view kMarks =
      U",;:\u2012\u2013\u2014\u2015\u2026\u060C\u061B\u3001\uFF0C\uFF1A\uFF1B\uFE50\uFE51\uFF64";
  return kMarks.find(c) != std::u32string_view::npos;
}

// What may stand between a mark and the blank after it: quotes and closing brackets.
bool is_closing(char32_t c) {
  return c == '"' || c == '\'' ||
         (U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_PE_MASK | U_GC_PF_MASK)) != 0;
}

// Start of the character before `at` (> 0).
size_t previous(std::string_view text, size_t at) {
  do {
    --at;
  } while ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

class BorderFinder {
 public:
  explicit BorderFinder(std::string_view text)
      : text_(text),
        masked_(text),
        kind_(text.size(), kNone),
        inside_tag_(text.size(), false),
        blank_end_(text.size(), 0) {}

  Result<std::vector<Border>> find();

 private:
  static constexpr uint8_t kNone = 0xFF;

  void mask_tags();
  void mark_white_space();
  Status mark_line_breaks();
  Status mark_sentences();
  void mark_clauses();
  std::vector<Border> collect() const;

  void mark(size_t byte, BorderKind kind) {
    const auto value = static_cast<uint8_t>(kind);
    if (kind_[byte] == kNone || kind_[byte] < value) kind_[byte] = value;
  }
  // The border that ICU's means: a tag is left whole, white space stays with what is before it.
  size_t settle(size_t byte) const {
    while (byte > 0 && inside_tag_[byte]) --byte;
    if (byte < text_.size() && blank_end_[byte] > 0) byte = blank_end_[byte];
    return byte;
  }
  size_t content_end_before(size_t byte) const;
  bool begins_lower_case(size_t byte) const;

  std::string_view text_;
  std::string masked_;            // the text for ICU, each tag a blank, a capitalised word, a blank
  std::vector<uint8_t> kind_;     // by byte: BorderKind or kNone
  std::vector<bool> inside_tag_;  // by byte: a cut here would cut a tag
  // By byte of white space: where its run ends. Once for all, since ICU may see a border at each.
  std::vector<uint32_t> blank_end_;
};

Result<std::vector<Border>> BorderFinder::find() {
  mask_tags();
  mark_white_space();
  LYRE_RETURN_IF_ERROR(mark_line_breaks());
  mark_clauses();
  LYRE_RETURN_IF_ERROR(mark_sentences());
  return collect();
}

void BorderFinder::mask_tags() {
  for (size_t at = text_.find('<'); at != text_.npos; at = text_.find('<', at)) {
    const size_t bytes = tag_bytes(text_, at);
    if (bytes == 0) {
      ++at;
      continue;
    }
    std::fill_n(masked_.begin() + static_cast<std::ptrdiff_t>(at), bytes, 'A');
    masked_[at] = masked_[at + bytes - 1] = ' ';
    std::fill_n(inside_tag_.begin() + static_cast<std::ptrdiff_t>(at) + 1, bytes - 1, true);
    at += bytes;
  }
}

void BorderFinder::mark_white_space() {
  for (size_t at = 0; at < text_.size();) {
    const CodePoint point = decode_utf8(text_, at);
    if (!is_white_space(point.value) || inside_tag_[at]) {
      at += point.bytes;
      continue;
    }
    const size_t begin = at;
    bool breaks = false;
    int ends = 0;
    char32_t before = 0;
    while (at < text_.size()) {
      const CodePoint blank = decode_utf8(text_, at);
      if (!is_white_space(blank.value)) break;
      breaks |= !is_no_break_space(blank.value);
      if (!(blank.value == '\n' && before == '\r')) ends += line_ends(blank.value);
      before = blank.value;
      at += blank.bytes;
    }
    std::fill(blank_end_.begin() + static_cast<std::ptrdiff_t>(begin),
              blank_end_.begin() + static_cast<std::ptrdiff_t>(at), static_cast<uint32_t>(at));
    if (at == text_.size()) return;
    if (breaks) mark(at, BorderKind::kWord);
    if (ends > 0) mark(at, BorderKind::kSentence);
    if (ends > 1) mark(at, BorderKind::kParagraph);
  }
}

Status BorderFinder::mark_line_breaks() {
  // Lines may break within words of scripts without blanks; only where a word ends as well is a
  // place for a pause.
  std::vector<bool> word_ends(text_.size(), false);
  LYRE_RETURN_IF_ERROR(
      visit_breaks(UBRK_WORD, masked_, [&](size_t byte) { word_ends[byte] = true; }));
  return visit_breaks(UBRK_LINE, masked_, [&](size_t byte) {
    if (!word_ends[byte]) return;
    const size_t border = settle(byte);
    if (border == 0 || border == text_.size()) return;
    // A tag is a word of its own, blanks around it or not.
    const bool at_tag =
        inside_tag_[border - 1] || (border + 1 < text_.size() && inside_tag_[border + 1]);
    mark(border, at_tag ? BorderKind::kWord : BorderKind::kLineBreak);
  });
}

size_t BorderFinder::content_end_before(size_t byte) const {
  while (byte > 0) {
    const size_t at = previous(text_, byte);
    if (!is_white_space(decode_utf8(text_, at).value)) break;
    byte = at;
  }
  return byte;
}

void BorderFinder::mark_clauses() {
  for (size_t border = 1; border < text_.size(); ++border) {
    if (kind_[border] == kNone) continue;
    size_t end = content_end_before(border);
    const bool has_blank = end < border;
    char32_t mark_before = 0;
    while (end > 0) {
      end = previous(text_, end);
      mark_before = decode_utf8(text_, end).value;
      if (!is_closing(mark_before)) break;
    }
    // A hyphen between blanks is a dash.
    const bool is_dash = mark_before == '-' && has_blank && end > 0 &&
                         is_white_space(decode_utf8(text_, previous(text_, end)).value);
    if (is_clause_mark(mark_before) || is_dash) mark(border, BorderKind::kClause);
  }
}

bool BorderFinder::begins_lower_case(size_t byte) const {
  constexpr int kMostSkipped = 16;  // quotes, brackets, tags
  for (int skipped = 0; skipped < kMostSkipped && byte < text_.size(); ++skipped) {
    if (const size_t tag = tag_bytes(text_, byte); tag > 0) {
      byte += tag;
      continue;
    }
    const CodePoint point = decode_utf8(text_, byte);
    const auto c = static_cast<UChar32>(point.value);
    if (u_isalpha(c)) return u_islower(c) != 0;
    if (u_isdigit(c)) return false;
    byte += point.bytes;
  }
  return false;
}

Status BorderFinder::mark_sentences() {
  return visit_breaks(UBRK_SENTENCE, masked_, [&](size_t byte) {
    const size_t border = settle(byte);
    if (border == 0 || border == text_.size()) return;
    // Not within a word: ICU also ends sentences where no line may break.
    if (kind_[border] == kNone) return;
    if (ends_with_abbreviation(text_.substr(0, content_end_before(border)))) return;
    // "Really?" he asked.
    mark(border, begins_lower_case(border) ? BorderKind::kClause : BorderKind::kSentence);
  });
}

std::vector<Border> BorderFinder::collect() const {
  std::vector<Border> borders;
  int64_t characters = 0, kept = 0;
  borders.push_back({BorderKind::kParagraph, 0, 0, 0});
  for (size_t at = 0; at < text_.size();) {
    const CodePoint point = decode_utf8(text_, at);
    if (kind_[at] != kNone && kept > 0)
      borders.push_back({static_cast<BorderKind>(kind_[at]), at, characters, kept});
    at += point.bytes;
    ++characters;
    if (!is_blank_character(point.value)) {
      if (kept == 0) borders[0].characters = characters - 1;
      kept = characters;
    }
  }
  borders.push_back({BorderKind::kParagraph, text_.size(), characters, kept});
  return borders;
}

}  // namespace

Result<std::vector<Border>> find_borders(std::string_view text) {
  return BorderFinder(text).find();
}

}  // namespace lyre
