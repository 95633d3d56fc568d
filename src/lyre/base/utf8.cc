#include "lyre/base/utf8.h"

#include <algorithm>
#include <cstring>

namespace lyre {

int utf8_sequence_bytes(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [&](size_t k) { return static_cast<uint8_t>(text[k]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;  // continuation, overlong, or above U+10FFFF
  const int size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() < static_cast<size_t>(size)) return 0;
  // The second byte has a narrower range after some leads; the others are plain continuations.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (int k = 2; k < size; ++k) {
    if ((byte(static_cast<size_t>(k)) & 0xC0) != 0x80) return 0;
  }
  return size;
}

std::optional<size_t> find_invalid_utf8(std::string_view text) noexcept {
  size_t at = 0;
  while (at < text.size()) {
    // Eight bytes of ASCII at a time: nearly all that comes.
    uint64_t word = 0;
    if (text.size() - at >= sizeof(word)) {
      std::memcpy(&word, text.data() + at, sizeof(word));
      if ((word & 0x8080808080808080u) == 0) {
        at += sizeof(word);
        continue;
      }
    }
    const int size = utf8_sequence_bytes(text.substr(at));
    if (size == 0) return at;
    at += static_cast<size_t>(size);
  }
  return std::nullopt;
}

int64_t utf8_code_points(std::string_view text) noexcept {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

}  // namespace lyre
