#pragma once

#include <string>

#include "text/tokenizer_rig.h"

namespace lyre::test {

/// A tokenizer with the special ids of the published models: 128000 text rows (of which only the
/// byte letters and a few merges have pieces here), Llama 3's specials, custom_token_N = 128256 +
/// N,
/// <|audio|> = 156939; with `veena`, its speakers after them. As in the published files, the custom
/// tokens are not marked as special.
inline Tokenizer published_vocabulary(bool veena = false) {
  constexpr TokenId kFirstCustom = 128256, kAudio = 156939;
  TokenizerJson json;
  json.pieces = {{"\u0120H", 256}, {"ta", 257}, {"tara", 258}, {"ra", 259}};
  json.merges = {R"("Ġ H")", R"("t a")", R"("r a")", R"("ta ra")"};
  json.add_token(128000, "<|begin_of_text|>", R"(,"special":true)");
  json.add_token(128001, "<|end_of_text|>", R"(,"special":true)");
  json.add_token(128009, "<|eot_id|>", R"(,"special":true)");
  for (TokenId id = kFirstCustom; id < kAudio; ++id) {
    json.add_token(id, "<custom_token_" + std::to_string(id - kFirstCustom) + ">",
                   R"(,"special":false,"normalized":true)");
  }
  json.add_token(kAudio, "<|audio|>", R"(,"special":true)");
  if (veena) {
    TokenId id = kAudio + 1;
    for (const char* speaker : {"kavya", "agastya", "maitri", "vinaya"})
      json.add_token(id++, "<spk_" + std::string(speaker) + ">", R"(,"special":true)");
  }
  Result<Tokenizer> tokenizer = json.parse();
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *std::move(tokenizer);
}

}  // namespace lyre::test
