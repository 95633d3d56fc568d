// Google Benchmark of the text stage: reading a tokenizer.json of Llama 3's size, tokenising, and
// splitting into sentences. Run from anywhere; bytes per second are of the text or of the file.
//
//     tokenizer_bench [--benchmark_filter=...]

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/text/byte_alphabet.h"
#include "lyre/text/code_point.h"
#include "lyre/text/sentence_splitter.h"
#include "lyre/text/tokenizer.h"

namespace lyre {
namespace {

constexpr size_t kPieces = 128'000;  // rows of text in Llama 3's vocabulary
constexpr size_t kMerges = 280'147;  // its merges: every way to make a piece of two
constexpr TokenId kAdded = 28'940;   // its special tokens and Orpheus's custom tokens
constexpr std::string_view kAlphabet = "etaoinshrd";

constexpr std::string_view kSplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|)"
    R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";

constexpr std::string_view kText =
    "The quick brown fox jumps over the lazy dog, and it's 3.14 miles to the next inn. \"Is there "
    "another one?\" he asked; nobody knew. Long roads, old songs: they went on until the evening. ";

// A file with the sizes of the published one, in its layout (one entry a line): the byte letters,
// then strings of ten letters, shortest first, each made by merges at all of its cuts.
std::string llama3_sized_file() {
  std::string vocab, merges, added;
  const auto quoted = [](std::string_view piece) {
    std::string out = "\"";
    for (const char c : piece) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out + "\"";
  };
  size_t pieces = 0, merge_count = 0;
  const auto add_piece = [&](std::string_view piece) {
    vocab.append(pieces > 0 ? ",\n      " : "").append(quoted(piece));
    vocab.append(": ").append(std::to_string(pieces++));
  };
  for (int byte = 0; byte < 256; ++byte) {
    std::string letter;
    append_utf8(byte_letter(static_cast<uint8_t>(byte)), letter);
    add_piece(letter);
  }
  std::vector<std::string> shorter(1);
  while (pieces < kPieces) {
    std::vector<std::string> longer;
    for (const std::string& stem : shorter) {
      for (const char c : kAlphabet) longer.push_back(stem + c);
    }
    for (const std::string& piece : longer) {
      if (piece.size() == 1 || pieces == kPieces) continue;
      add_piece(piece);
      for (size_t cut = 1; cut < piece.size() && merge_count < kMerges; ++cut, ++merge_count) {
        merges.append(merge_count > 0 ? ",\n      \"" : "\"").append(piece, 0, cut);
        merges.append(" ").append(piece, cut).append("\"");
      }
    }
    shorter = std::move(longer);
  }
  LYRE_CHECK(merge_count == kMerges);
  for (TokenId k = 0; k < kAdded; ++k) {
    added.append(k > 0 ? ",\n    {" : "{").append("\n      \"id\": ");
    added.append(std::to_string(kPieces + static_cast<size_t>(k)));
    added.append(",\n      \"content\": \"<custom_token_").append(std::to_string(k)).append(">\"");
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized", "special"})
      added.append(",\n      \"").append(flag).append("\": false");
    added.append("\n    }");
  }
  std::string file = "{\n  \"added_tokens\": [\n    " + added + "\n  ],\n  \"normalizer\": null,\n";
  file +=
      R"(  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": )";
  file += "{\"Regex\": \"" + std::string(kSplitPattern) + "\"}, \"behavior\": \"Isolated\"}, ";
  file += R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},)";
  file += "\n  \"decoder\": {\"type\": \"ByteLevel\"},\n  \"model\": {\"type\": \"BPE\", ";
  file +=
      "\"ignore_merges\": true, \"vocab\": {\n      " + vocab + "\n    }, \"merges\": [\n      ";
  return file + merges + "\n    ]}\n}\n";
}

const std::string& file() {
  static const std::string contents = llama3_sized_file();
  return contents;
}

Tokenizer parse() {
  Result<Tokenizer> tokenizer = Tokenizer::parse(file(), "llama3_sized.json");
  LYRE_CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

std::string repeated(std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

void set_bytes(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void parse_file(benchmark::State& state) {
  file();
  for (auto _ : state) benchmark::DoNotOptimize(parse().vocabulary_size());
  set_bytes(state, file().size());
}
BENCHMARK(parse_file)->Unit(benchmark::kMillisecond);

void encode(benchmark::State& state, std::string_view unit) {
  static const Tokenizer tokenizer = parse();
  const std::string text = repeated(unit, static_cast<size_t>(state.range(0)));
  std::vector<TokenId> ids;
  for (auto _ : state) {
    ids.clear();
    LYRE_CHECK(tokenizer.encode(text, ids).ok());
    benchmark::DoNotOptimize(ids.data());
  }
  set_bytes(state, text.size());
  state.counters["tokens"] = static_cast<double>(ids.size());
}
// A sentence, a long request, and words that merge for long: no blanks to cut at.
BENCHMARK_CAPTURE(encode, prose, kText)->Arg(1)->Arg(64 << 10);
BENCHMARK_CAPTURE(encode, one_word, "tearshode")->Arg(64 << 10);

void decode(benchmark::State& state) {
  static const Tokenizer tokenizer = parse();
  const std::string text = repeated(kText, 64 << 10);
  std::vector<TokenId> ids;
  LYRE_CHECK(tokenizer.encode(text, ids).ok());
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids));
  set_bytes(state, text.size());
}
BENCHMARK(decode);

void split(benchmark::State& state) {
  const std::string text = repeated(kText, static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(split_sentences(text, 240).ok());
  set_bytes(state, text.size());
}
BENCHMARK(split)->Arg(1)->Arg(1 << 10)->Arg(64 << 10);

}  // namespace
}  // namespace lyre

BENCHMARK_MAIN();
