#include "lyre/base/json_string.h"

#include <algorithm>
#include <cstdint>

#include "lyre/base/utf8.h"

namespace lyre {

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const auto size = static_cast<size_t>(utf8_sequence_bytes(text));
    const auto byte = static_cast<uint8_t>(text[0]);
    if (size == 0) {
      out += "\\ufffd";
    } else if (byte == '"' || byte == '\\') {
      out += {'\\', text[0]};
    } else if (byte < 0x20) {
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  out += '"';
}

}  // namespace lyre
