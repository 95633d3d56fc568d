// A file that claims to be a tokenizer.json. One that is accepted must encode and decode.

#include <cstdint>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = lyre::Tokenizer::parse(json, "tokenizer.json");
  if (!tokenizer.ok()) {
    LYRE_CHECK(tokenizer.error().message.starts_with("tokenizer.json: "));
    return 0;
  }
  constexpr std::string_view kText = "Hello, <x> it's  3.14\n\u00E9\u4ECA\U0001F600 aaaa bbbb";
  std::vector<lyre::TokenId> ids;
  // A hostile pattern may run into its limit; whatever else must give the text back.
  if (tokenizer->encode(kText, ids).ok()) LYRE_CHECK(tokenizer->decode(ids) == kText);
  ids.clear();
  if (tokenizer->encode_with_specials(kText, ids).ok()) (void)tokenizer->decode(ids);
  for (const lyre::TokenId id : ids) LYRE_CHECK(id >= 0 && id < tokenizer->vocabulary_size());
  return 0;
}
