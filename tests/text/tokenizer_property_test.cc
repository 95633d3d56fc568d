#include <map>
#include <random>

#include "lyre/text/merge_table.h"
#include "text/tokenizer_rig.h"

namespace lyre::test {
namespace {

std::string random_utf8(std::mt19937& rng, int most) {
  const char32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
  std::string text;
  for (int k = std::uniform_int_distribution(0, most)(rng); k > 0; --k) {
    const char32_t limit = limits[rng() % 4];
    const char32_t c = static_cast<char32_t>(rng()) % limit;
    if (c < 0xD800 || c >= 0xE000) append_utf8(c, text);
  }
  return text;
}

TEST(TokenizerProperty, DecodingGivesTheTextBack) {
  for (const auto& path :
       {demo_voice() / "lm/tokenizer.json", tiny_voice() / "lm/tokenizer.json"}) {
    const Tokenizer tokenizer = load_tokenizer(path);
    for (unsigned seed = 0; seed < 2000; ++seed) {
      std::mt19937 rng(seed);
      const std::string text = random_utf8(rng, 60);
      ASSERT_EQ(tokenizer.decode(encode(tokenizer, text)), text) << "seed " << seed;
      ASSERT_EQ(tokenizer.decode(encode_with_specials(tokenizer, text)), text) << "seed " << seed;
    }
  }
}

// Any ids decode to valid UTF-8.
TEST(TokenizerProperty, DecodingAnyIdsGivesUtf8) {
  const Tokenizer tokenizer = load_tokenizer(demo_voice() / "lm/tokenizer.json");
  for (unsigned seed = 0; seed < 2000; ++seed) {
    std::mt19937 rng(seed);
    std::vector<TokenId> ids(rng() % 20);
    for (TokenId& id : ids) id = static_cast<TokenId>(rng() % 520);
    const std::string text = tokenizer.decode(ids);
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = decode_utf8(text, at);
      ASSERT_TRUE(point.valid) << "seed " << seed;
      at += point.bytes;
    }
  }
}

// The definition of BPE: look through the whole word for the pair of lowest rank, leftmost first.
std::vector<TokenId> merge_slowly(const MergeTable& table, std::vector<TokenId> word) {
  while (true) {
    MergeTable::Merge best;
    size_t best_at = 0;
    for (size_t k = 0; k + 1 < word.size(); ++k) {
      const MergeTable::Merge merge = table.find(word[k], word[k + 1]);
      if (merge.rank < best.rank) {
        best = merge;
        best_at = k;
      }
    }
    if (best.rank == MergeTable::kNoRank) return word;
    word[best_at] = best.id;
    word.erase(word.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(TokenizerProperty, MergesAsBpeIsDefined) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 rng(seed);
    // Ids are strings over a small alphabet, so that pieces overlap in many ways.
    const int letters = 1 + static_cast<int>(rng() % 4);
    std::vector<std::string> pieces;
    std::map<std::string, TokenId> id_of;
    for (int k = 0; k < letters; ++k) {
      pieces.emplace_back(1, static_cast<char>('a' + k));
      id_of[pieces.back()] = k;
    }
    MergeTable table;
    const auto merges = static_cast<uint32_t>(rng() % 40);
    for (uint32_t rank = 0; rank < merges; ++rank) {
      const std::string left = pieces[rng() % pieces.size()], right = pieces[rng() % pieces.size()];
      const auto [entry, is_new] =
          id_of.try_emplace(left + right, static_cast<TokenId>(pieces.size()));
      if (is_new) pieces.push_back(left + right);
      table.insert(id_of[left], id_of[right], {rank, entry->second});
    }
    MergeTable::Scratch scratch;
    for (int word_index = 0; word_index < 10; ++word_index) {
      std::vector<TokenId> word(rng() % 50);
      for (TokenId& id : word) id = static_cast<TokenId>(rng() % static_cast<unsigned>(letters));
      std::vector<TokenId> fast;
      table.apply(word, scratch, fast);
      ASSERT_EQ(fast, merge_slowly(table, word)) << "seed " << seed << " word " << word_index;
    }
  }
}

}  // namespace
}  // namespace lyre::test
