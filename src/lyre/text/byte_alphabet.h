#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lyre {

/// Byte-level BPE files spell each byte as one printable character, so that pieces are text: bytes
/// that are printable in Latin-1 stand for themselves, the other 68 are U+0100, U+0101, ... in the
/// order of their values (GPT-2's bytes_to_unicode).
char32_t byte_letter(uint8_t byte) noexcept;

/// Replaces `bytes` by the bytes that a piece spells. False if one of its characters is no letter
/// of the alphabet. Precondition: valid UTF-8.
bool spell_bytes(std::string_view piece, std::string& bytes);

}  // namespace lyre
