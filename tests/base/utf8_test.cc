#include "lyre/base/utf8.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace lyre {
namespace {

// UTF-8 by its definition: shortest form of a scalar value.
std::string encode(uint32_t value) {
  const auto byte = [](uint32_t b) { return static_cast<char>(static_cast<uint8_t>(b)); };
  if (value < 0x80) return {byte(value)};
  if (value < 0x800) return {byte(0xC0 | value >> 6), byte(0x80 | (value & 63))};
  if (value < 0x10000) {
    return {byte(0xE0 | value >> 12), byte(0x80 | (value >> 6 & 63)), byte(0x80 | (value & 63))};
  }
  return {byte(0xF0 | value >> 18), byte(0x80 | (value >> 12 & 63)), byte(0x80 | (value >> 6 & 63)),
          byte(0x80 | (value & 63))};
}

TEST(Utf8, EveryCodePoint) {
  for (uint32_t value = 0; value < 0x120000; ++value) {
    const bool scalar = value < 0xD800 || (value > 0xDFFF && value < 0x110000);
    const std::string bytes = encode(value);
    ASSERT_EQ(utf8_sequence_bytes(bytes), scalar ? static_cast<int>(bytes.size()) : 0) << value;
  }
}

// Exactly 1,112,064 sequences of at most four bytes are well-formed, so every other is refused.
TEST(Utf8, EveryShortSequence) {
  int64_t well_formed = 0;
  std::string bytes(4, '\0');
  const auto count = [&](auto& self, size_t depth) -> void {
    for (int b = 0; b < 256; ++b) {
      bytes[depth - 1] = static_cast<char>(b);
      const int size = utf8_sequence_bytes(std::string_view(bytes).substr(0, depth));
      if (size == static_cast<int>(depth)) {
        ++well_formed;
      } else if (size == 0 && depth < 4 && (b & 0xC0) != 0 &&
                 static_cast<uint8_t>(bytes[0]) > 0xBF && (depth == 1 || (b & 0xC0) == 0x80)) {
        self(self, depth + 1);  // may be the beginning of a longer one
      }
    }
  };
  count(count, 1);
  EXPECT_EQ(well_formed, 0x110000 - 0x800);
}

TEST(Utf8, FindsTheFirstBadByteAtAnyOffset) {
  for (size_t before = 0; before < 40; ++before) {
    const std::string text(before, 'a');
    EXPECT_EQ(find_invalid_utf8(text + "\xC3\xA4z"), std::nullopt);
    EXPECT_EQ(find_invalid_utf8(text + "\xFF" + text), before);
    EXPECT_EQ(find_invalid_utf8(text + "\xC3"), before);              // truncated
    EXPECT_EQ(find_invalid_utf8(text + "\xC3\xA4\xA4"), before + 2);  // continuation alone
    EXPECT_EQ(find_invalid_utf8(text + "\xC0\x80"), before);          // overlong
    EXPECT_EQ(find_invalid_utf8(text + "\xED\xA0\x80"), before);      // surrogate
    EXPECT_EQ(find_invalid_utf8(text + "\xF4\x90\x80\x80"), before);  // above U+10FFFF
  }
  EXPECT_EQ(find_invalid_utf8(""), std::nullopt);
}

TEST(Utf8, CountsCodePoints) {
  EXPECT_EQ(utf8_code_points(""), 0);
  EXPECT_EQ(utf8_code_points("abc"), 3);
  EXPECT_EQ(utf8_code_points("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x8E\xB5"), 3);
}

}  // namespace
}  // namespace lyre
