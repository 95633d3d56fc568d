// Text of a user, as bytes: the tokenizer of the tiny voice, its prompt, and what is read aloud.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/utf8.h"
#include "lyre/text/prompt_family.h"
#include "lyre/text/speakable_text.h"
#include "lyre/text/tokenizer.h"
#include "support/paths.h"

namespace {

constexpr int kCodebookSize = 64;  // of the tiny voice

const lyre::Tokenizer& tiny_tokenizer() {
  static const auto tokenizer =
      lyre::Tokenizer::load(lyre::test::tiny_voice() / "lm/tokenizer.json");
  LYRE_CHECK(tokenizer.ok());
  return *tokenizer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const lyre::Tokenizer& tokenizer = tiny_tokenizer();
  static const auto prompts =
      lyre::PromptBuilder::bind(*lyre::load_family("orpheus"), tokenizer, kCodebookSize);
  LYRE_CHECK(prompts.ok());

  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<lyre::TokenId> ids, prompt;
  const auto encoded = tokenizer.encode(text, ids);
  LYRE_CHECK(encoded.ok() == !lyre::find_invalid_utf8(text));
  LYRE_CHECK(prompts->build("kit", text, "", prompt).ok() == encoded.ok());
  if (!encoded.ok()) {
    LYRE_CHECK(ids.empty() && prompt.empty());
    return 0;
  }
  LYRE_CHECK(tokenizer.decode(ids) == text);
  std::vector<lyre::TokenId> with_specials;
  LYRE_CHECK(tokenizer.encode_with_specials(text, with_specials).ok());
  LYRE_CHECK(tokenizer.decode(with_specials) == text);
  // Nothing that a user writes controls the model: SOH and BOS stand before the words, four tokens
  // after them, and none of the added tokens between.
  const lyre::TokenId first_added = *tokenizer.find("<|begin_of_text|>");
  LYRE_CHECK(std::count_if(prompt.begin(), prompt.end(),
                           [&](lyre::TokenId id) { return id >= first_added; }) == 6);
  // The ends of any bytes are valid UTF-8 when decoded.
  const auto half = std::span(ids).subspan(ids.size() / 2);
  LYRE_CHECK(!lyre::find_invalid_utf8(tokenizer.decode(half)));

  const std::string spoken = lyre::speakable_text(text);
  LYRE_CHECK(!lyre::find_invalid_utf8(spoken));
  LYRE_CHECK(spoken.size() <= text.size());
  LYRE_CHECK(lyre::speakable_text(spoken) == spoken);
  return 0;
}
