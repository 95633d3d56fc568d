#include "lyre/text/blank.h"

#include <unicode/uchar.h>

namespace lyre {

bool is_white_space(char32_t c) noexcept {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_WHITE_SPACE) != 0;
}

bool is_blank_character(char32_t c) noexcept {
  return is_white_space(c) ||
         (U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_CC_MASK | U_GC_CF_MASK)) != 0;
}

}  // namespace lyre
