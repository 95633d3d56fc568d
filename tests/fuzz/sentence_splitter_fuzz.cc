// Text of a user, as bytes after one byte that chooses the limit: the segments are the text.

#include <cstdint>
#include <string_view>

#include "lyre/base/check.h"
#include "lyre/base/utf8.h"
#include "lyre/text/sentence_splitter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const int most_characters = data[0];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto segments = lyre::split_sentences(text, most_characters);
  LYRE_CHECK(segments.ok() == !lyre::find_invalid_utf8(text));
  if (!segments.ok()) return 0;
  size_t at = 0;
  for (const std::string_view segment : *segments) {
    LYRE_CHECK(segment.data() == text.data() + at && !segment.empty());
    LYRE_CHECK(!lyre::find_invalid_utf8(segment));
    LYRE_CHECK(segments->size() == 1 || !lyre::is_blank(segment));
    at += segment.size();
  }
  LYRE_CHECK(at == text.size());
  return 0;
}
