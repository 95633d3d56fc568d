#pragma once

#include <cstddef>
#include <string_view>

namespace lyre {

/// Bytes of the <tag> at text[at], brackets included; 0 if there is none. A tag is "<", perhaps
/// "/", a letter of any script, and up to 64 characters in all to the next ">" of the line:
/// "<laugh>", "<한숨>", "<break time='1s'/>", but not "a < b" or "<3". Precondition: valid UTF-8.
size_t tag_bytes(std::string_view text, size_t at) noexcept;

}  // namespace lyre
