#include "lyre/base/quote.h"

#include <cstdint>

#include "lyre/base/utf8.h"

namespace lyre {

std::string quote(std::string_view foreign, size_t most_bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "'";
  size_t at = 0;
  while (at < foreign.size() && at < most_bytes) {
    const auto size = static_cast<size_t>(utf8_sequence_bytes(foreign.substr(at)));
    const auto byte = static_cast<uint8_t>(foreign[at]);
    if (size == 0 || byte < 0x20 || byte == 0x7F) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      ++at;
    } else {
      out += foreign.substr(at, size);
      at += size;
    }
  }
  return out += at < foreign.size() ? "...'" : "'";
}

}  // namespace lyre
