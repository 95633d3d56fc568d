#include "lyre/text/byte_alphabet.h"

#include <gtest/gtest.h>

#include <set>

#include "lyre/text/code_point.h"

namespace lyre {
namespace {

TEST(ByteAlphabet, HasALetterForEachByte) {
  std::set<char32_t> letters;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t letter = byte_letter(static_cast<uint8_t>(byte));
    letters.insert(letter);
    std::string piece, bytes = "old";
    append_utf8(letter, piece);
    ASSERT_TRUE(spell_bytes(piece, bytes));
    EXPECT_EQ(bytes, std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(letters.size(), 256u);
  // The well-known ones.
  EXPECT_EQ(byte_letter(' '), U'\u0120');
  EXPECT_EQ(byte_letter('\n'), U'\u010A');
  EXPECT_EQ(byte_letter('a'), U'a');
  EXPECT_EQ(byte_letter(0xAD), U'\u0143');  // soft hyphen, the last that is shifted
}

TEST(ByteAlphabet, KnowsNoOtherLetters) {
  std::string bytes;
  for (const char* piece : {" ", "a b", "\u0144", "\u20AC", "\n"})
    EXPECT_FALSE(spell_bytes(piece, bytes));
}

}  // namespace
}  // namespace lyre
