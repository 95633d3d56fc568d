#include "lyre/text/code_point.h"

#include <optional>

#include "lyre/base/utf8.h"

namespace lyre {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

}  // namespace

CodePoint decode_utf8(std::string_view text, size_t at) noexcept {
  const uint8_t lead = byte_at(text, at);
  if (lead < 0x80) return {lead, 1, true};
  // Table 3-7 of the Unicode standard: only the second byte's range depends on the lead.
  int continuation;
  uint8_t low = 0x80, high = 0xBF;
  char32_t value;
  if (lead >= 0xC2 && lead <= 0xDF) {
    continuation = 1;
    value = lead & 0x1Fu;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    continuation = 2;
    value = lead & 0x0Fu;
    if (lead == 0xE0) low = 0xA0;   // shorter forms exist below
    if (lead == 0xED) high = 0x9F;  // surrogates above
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    continuation = 3;
    value = lead & 0x07u;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;  // beyond U+10FFFF
  } else {
    return {kReplacement, 1, false};
  }
  for (int k = 1; k <= continuation; ++k) {
    const size_t next = at + static_cast<size_t>(k);
    if (next >= text.size() || byte_at(text, next) < low || byte_at(text, next) > high)
      return {kReplacement, static_cast<uint8_t>(k), false};
    value = (value << 6) | (byte_at(text, next) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {value, static_cast<uint8_t>(continuation + 1), true};
}

void append_utf8(char32_t value, std::string& out) {
  const auto push = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    push(value);
  } else if (value < 0x800) {
    push(0xC0 | (value >> 6));
    push(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    push(0xE0 | (value >> 12));
    push(0x80 | ((value >> 6) & 0x3F));
    push(0x80 | (value & 0x3F));
  } else {
    push(0xF0 | (value >> 18));
    push(0x80 | ((value >> 12) & 0x3F));
    push(0x80 | ((value >> 6) & 0x3F));
    push(0x80 | (value & 0x3F));
  }
}

void append_lossy_utf8(std::string_view bytes, std::string& out) {
  while (true) {
    const std::optional<size_t> bad = find_invalid_utf8(bytes);
    out.append(bytes.substr(0, bad.value_or(bytes.size())));
    if (!bad) return;
    append_utf8(kReplacement, out);
    bytes.remove_prefix(*bad + decode_utf8(bytes, *bad).bytes);
  }
}

}  // namespace lyre
