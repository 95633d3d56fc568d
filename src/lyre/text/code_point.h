#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lyre {

/// One decoded step through a byte string.
struct CodePoint {
  char32_t value;  // U+FFFD if the bytes are no UTF-8
  uint8_t bytes;   // 1 to 4; of bad input the longest prefix that could have begun a character
  bool valid;
};

/// Precondition: at < text.size(). Strict: no overlong forms, surrogates or values above U+10FFFF.
CodePoint decode_utf8(std::string_view text, size_t at) noexcept;

void append_utf8(char32_t value, std::string& out);

/// Appends bytes as UTF-8, one U+FFFD for each CodePoint that is not valid: the "substitution of
/// maximal subparts" of the Unicode standard, section 3.9.
void append_lossy_utf8(std::string_view bytes, std::string& out);

}  // namespace lyre
