#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/token.h"
#include "lyre/text/added_tokens.h"
#include "lyre/text/merge_table.h"
#include "lyre/text/piece_table.h"
#include "lyre/text/split_pattern.h"

namespace lyre {

/// What a tokenizer.json holds, ready to use.
struct TokenizerParts {
  PieceTable pieces;                   // the vocabulary, as the bytes that its pieces spell
  PieceTable added_bytes;              // what the added tokens decode to; bytes(id) only
  AddedTokens added;                   // by name
  std::array<TokenId, 256> byte_id{};  // the piece of each single byte
  MergeTable merges;
  std::vector<SplitPattern> splits;  // one after the other, each within the words of the last
  bool ignore_merges = false;        // a word that is a piece is that piece, whatever the merges
  int size = 0;                      // largest id + 1
};

/// Reads a byte-level BPE without normalizer. The post-processor is not read: what stands around a
/// prompt is the prompt family's matter. kDataCorrupt naming file and field.
Result<TokenizerParts> parse_tokenizer_file(std::string_view json, const std::string& name);

}  // namespace lyre
