// Text that comes in pieces, as bytes after one byte that chooses their size: what is given out is
// the text, but for pieces that are blank.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/utf8.h"
#include "lyre/text/code_point.h"
#include "lyre/text/growing_text.h"
#include "lyre/text/sentence_splitter.h"

namespace {

std::string without_blanks(std::string_view text) {
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = lyre::decode_utf8(text, at).bytes;
    const std::string_view character = text.substr(at, bytes);
    if (!lyre::is_blank(character)) kept += character;
    at += bytes;
  }
  return kept;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece_bytes = size_t{data[0] % 32u} + 1;
  const bool flushes = (data[0] & 0x80) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  lyre::GrowingText growing{lyre::TextPacing{}};
  std::string taken;
  std::vector<std::string> segments;
  for (size_t at = 0; at < text.size(); at += piece_bytes) {
    const std::string_view piece = text.substr(at, piece_bytes);
    const bool good = !lyre::find_invalid_utf8(piece);
    LYRE_CHECK(growing.append(piece, segments).ok() == good);
    if (good) taken += piece;
    if (flushes && at % 3 == 0) LYRE_CHECK(growing.flush(segments).ok());
  }
  LYRE_CHECK(growing.flush(segments).ok());
  LYRE_CHECK(growing.pending_bytes() == 0);
  std::string given;
  for (const std::string& segment : segments) {
    LYRE_CHECK(!lyre::find_invalid_utf8(segment) && !lyre::is_blank(segment));
    given += segment;
  }
  LYRE_CHECK(without_blanks(given) == without_blanks(taken));
  return 0;
}
