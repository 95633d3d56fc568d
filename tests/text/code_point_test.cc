#include "lyre/text/code_point.h"

#include <gtest/gtest.h>

#include "lyre/base/utf8.h"

namespace lyre {
namespace {

TEST(CodePoint, DecodesWhatItEncodes) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(c, text);
    const CodePoint point = decode_utf8(text, 0);
    ASSERT_TRUE(point.valid && point.value == c && point.bytes == text.size())
        << static_cast<uint32_t>(c);
    ASSERT_FALSE(find_invalid_utf8(text));
  }
}

// Examples of the Unicode standard, section 3.9, tables 3-8 to 3-11: one U+FFFD for each maximal
// subpart.
TEST(CodePoint, ReplacesMaximalSubparts) {
  const std::string r = "\uFFFD";
  for (const auto& [bytes, text] : std::initializer_list<std::pair<std::string, std::string>>{
           {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", r + r + r + r + r + r + r + r + "A"},
           {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", r + r + r + r + r + r + r + r + "A"},
           {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", r + r + r + r + r + "A" + r + r + "B"},
           {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", r + r + r + r + "A"},
           {"plain", "plain"},
           {"", ""}}) {
    std::string out = "<";
    append_lossy_utf8(bytes, out);
    EXPECT_EQ(out, "<" + text);
  }
}

}  // namespace
}  // namespace lyre
