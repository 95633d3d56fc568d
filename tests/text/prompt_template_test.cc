#include "lyre/text/prompt_template.h"

#include <gtest/gtest.h>

namespace lyre {
namespace {

using Kind = TemplatePart::Kind;

// As "kind:literal" for short.
std::string spelled(std::string_view text_template) {
  const Result<std::vector<TemplatePart>> parts = parse_prompt_template(text_template);
  if (!parts) return parts.error().message;
  std::string out;
  for (const TemplatePart& part : *parts) {
    if (part.kind == Kind::kLiteral) out += "'" + part.literal + "'";
    if (part.kind == Kind::kVoice) out += "V";
    if (part.kind == Kind::kText) out += "T";
    if (part.kind == Kind::kDescription) out += "D";
  }
  return out;
}

TEST(PromptTemplate, ReadsNamesAndLiterals) {
  EXPECT_EQ(spelled("{voice}: {text}"), "V': 'T");
  EXPECT_EQ(spelled("{text}"), "T");
  EXPECT_EQ(spelled("<spk_{voice}> {text}"), "'<spk_'V'> 'T");
  EXPECT_EQ(spelled("<description=\"{description}\"> {text}"), "'<description=\"'D'\"> 'T");
  EXPECT_EQ(spelled("{{{voice}}}{text}{voice}"), "'{'V'}'TV");
}

TEST(PromptTemplate, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(spelled("{voice}: {txet}"),
            "expected {voice}, {text} or {description}, found {'txet'} at offset 9");
  EXPECT_EQ(spelled("a} {text}"), "unpaired } at offset 1");
  EXPECT_EQ(spelled("{text} {"), "unpaired { at offset 7");
  EXPECT_EQ(spelled("{voice}"), "expected {text} once, found it 0 times");
  EXPECT_EQ(spelled(""), "expected {text} once, found it 0 times");
  EXPECT_EQ(spelled("{text}{text}"), "expected {text} once, found it 2 times");
}

}  // namespace
}  // namespace lyre
