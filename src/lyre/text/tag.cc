#include "lyre/text/tag.h"

#include <unicode/uchar.h>

#include "lyre/text/code_point.h"

namespace lyre {
namespace {

constexpr int kMostCharacters = 64;

}  // namespace

size_t tag_bytes(std::string_view text, size_t at) noexcept {
  if (text[at] != '<') return 0;
  size_t end = at + 1;
  if (end < text.size() && text[end] == '/') ++end;
  if (end == text.size() || !u_isalpha(static_cast<UChar32>(decode_utf8(text, end).value)))
    return 0;
  for (int characters = static_cast<int>(end - at); characters < kMostCharacters; ++characters) {
    if (end == text.size()) return 0;
    const char c = text[end];
    if (c == '<' || c == '\n' || c == '\r') return 0;
    if (c == '>') return end + 1 - at;
    end += decode_utf8(text, end).bytes;
  }
  return 0;
}

}  // namespace lyre
