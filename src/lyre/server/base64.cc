#include "lyre/server/base64.h"

#include <cstddef>
#include <cstdint>

namespace lyre::server {

void append_base64(std::string_view bytes, std::string& out) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto byte = [&](size_t i) -> uint32_t { return static_cast<unsigned char>(bytes[i]); };
  const size_t begin = out.size(), rest = bytes.size() % 3, whole = bytes.size() - rest;
  out.resize(begin + (bytes.size() + 2) / 3 * 4);
  char* digit = out.data() + begin;
  for (size_t i = 0; i < whole; i += 3) {
    const uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    *digit++ = kDigits[bits >> 18];
    *digit++ = kDigits[bits >> 12 & 63];
    *digit++ = kDigits[bits >> 6 & 63];
    *digit++ = kDigits[bits & 63];
  }
  if (rest == 0) return;
  const uint32_t bits = byte(whole) << 16 | (rest == 2 ? byte(whole + 1) << 8 : 0);
  *digit++ = kDigits[bits >> 18];
  *digit++ = kDigits[bits >> 12 & 63];
  *digit++ = rest == 2 ? kDigits[bits >> 6 & 63] : '=';
  *digit++ = '=';
}

}  // namespace lyre::server
