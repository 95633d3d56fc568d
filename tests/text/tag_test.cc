#include "lyre/text/tag.h"

#include <gtest/gtest.h>

#include <string>

namespace lyre {
namespace {

TEST(Tag, IsNamedAndClosed) {
  for (const std::string& tag :
       {std::string("<laugh>"), std::string("</emphasis>"), std::string("<한숨>"),
        std::string("<laugh_harder>"), std::string("<break time='1s'/>"), std::string("<x>"),
        "<" + std::string(62, 'a') + ">"}) {
    EXPECT_EQ(tag_bytes("ab" + tag + "> c", 2), tag.size()) << tag;
    EXPECT_EQ(tag_bytes("ab" + tag + "> c", 1), 0u) << tag;
  }
}

TEST(Tag, IsNoOtherAngleBracket) {
  for (const std::string& text :
       {std::string("< b>"), std::string("<3>"), std::string("<>"), std::string("<"),
        std::string("</"), std::string("<a"), std::string("<a<b>"), std::string("<a\nb>"),
        std::string("<-->"), "<" + std::string(63, 'a') + ">"})
    EXPECT_EQ(tag_bytes(text, 0), 0u) << text;
}

}  // namespace
}  // namespace lyre
