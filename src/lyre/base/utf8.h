#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lyre {

/// Bytes of the well-formed UTF-8 sequence at the start of `text`, 1..4; 0 if there is none (empty,
/// truncated, overlong, a surrogate, or above U+10FFFF). Unicode 15, table 3-7.
int utf8_sequence_bytes(std::string_view text) noexcept;

/// Byte offset of the first ill-formed sequence, or nothing if all of `text` is UTF-8.
std::optional<size_t> find_invalid_utf8(std::string_view text) noexcept;

/// Code points of well-formed UTF-8.
int64_t utf8_code_points(std::string_view text) noexcept;

}  // namespace lyre
