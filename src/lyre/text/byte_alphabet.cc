#include "lyre/text/byte_alphabet.h"

#include <array>

#include "lyre/text/code_point.h"

namespace lyre {
namespace {

constexpr int kNoByte = -1;
constexpr char32_t kFirstShifted = 0x100;  // letter of the first byte that is not printable

constexpr bool is_printable_latin1(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

struct Alphabet {
  std::array<char32_t, 256> letter{};  // by byte
  std::array<int16_t, 512> byte{};     // by letter

  constexpr Alphabet() {
    byte.fill(kNoByte);
    char32_t shifted = kFirstShifted;
    for (int b = 0; b < 256; ++b) {
      const char32_t l = is_printable_latin1(b) ? static_cast<char32_t>(b) : shifted++;
      letter[static_cast<size_t>(b)] = l;
      byte[l] = static_cast<int16_t>(b);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

char32_t byte_letter(uint8_t byte) noexcept { return kAlphabet.letter[byte]; }

bool spell_bytes(std::string_view piece, std::string& bytes) {
  bytes.clear();
  for (size_t at = 0; at < piece.size();) {
    const CodePoint point = decode_utf8(piece, at);
    at += point.bytes;
    if (point.value >= kAlphabet.byte.size() || kAlphabet.byte[point.value] == kNoByte)
      return false;
    bytes.push_back(static_cast<char>(kAlphabet.byte[point.value]));
  }
  return true;
}

}  // namespace lyre
