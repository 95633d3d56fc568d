#pragma once

#include <cstdint>
#include <vector>

#include "lyre/base/cuda/memory.h"
#include "lyre/lm/language_model.h"
#include "lyre/lm/sequence_table.h"

// What the kernels of the language model share. Plain structs of device pointers and numbers.
// Letters: T rows (tokens) of a step, S sequences that draw, H hidden, D head_dim, F ffn, V
// vocabulary, P columns in memory (K rounded up to kPadColumns).
namespace lyre::cuda {

/// Rows of matrices are padded with zeros to whole multiples of so many columns, and matrices to
/// whole multiples of kTileRows rows: tiles need no edges.
inline constexpr int kPadColumns = 128;
inline constexpr int kTileRows = 16;

constexpr int round_up(int value, int step) { return (value + step - 1) / step * step; }

enum class MatrixFormat : uint8_t { kBf16, kFp8 };

/// Weight matrix in device memory: (rows, columns) of bf16, or of e4m3 with a scale for each row.
struct DeviceMatrix {
  const void* data = nullptr;     // (padded_rows, pitch)
  const float* scales = nullptr;  // (padded_rows); of kFp8 only: weight = scale * stored
  int rows = 0;
  int columns = 0;  // K
  int pitch = 0;    // elements from row to row: round_up(columns, kPadColumns)
  MatrixFormat format = MatrixFormat::kBf16;

  constexpr int padded_rows() const { return round_up(rows, kTileRows); }
  constexpr int64_t size_bytes() const {  // without padding: what a multiplication must read
    return int64_t{rows} * columns * (format == MatrixFormat::kBf16 ? 2 : 1);
  }
};

/// Element of a query or key head that row `at` of the stored head holds; D a multiple of 16.
constexpr int stored_dim(int at, int head_dim) {
  const int half = at % 16 < 8 ? 0 : head_dim / 2;
  return half + at / 16 * 8 + at % 8;
}

struct DeviceLayer {
  const float* input_norm = nullptr;  // (H)
  /// (heads * D + 2 * kv_heads * D, H): query, key, value. The rows of a query or key head are in
  /// the order of stored_dim(): 8 of the first half, the 8 that RoPE pairs with them, the next 8
  /// ...: a tile of 16 rows holds whole pairs. Value heads are as they were.
  DeviceMatrix qkv;
  DeviceMatrix attention_output;               // (H, heads * D)
  const float* post_attention_norm = nullptr;  // (H)
  /// (2 * round_up(F, 8), H): 8 rows of gate, the same 8 of up, the next 8 of gate ...: a tile of
  /// 16 rows holds both factors of 8 activations.
  DeviceMatrix gate_up;
  DeviceMatrix down;  // (H, F)
};

/// All weights, in one allocation.
struct DeviceWeights {
  DeviceMemory memory;
  DeviceMatrix embedding;  // (V, H) bf16
  std::vector<DeviceLayer> layers;
  const float* final_norm = nullptr;  // (H)
  DeviceMatrix output;                // (V, H) bf16; the embedding's memory where they are tied
  int64_t size_bytes = 0;             // as held, padding included
};

/// State of an open sequence on the device; written by the host when it opens.
struct DeviceSequence {
  int32_t length;      // tokens whose keys and values are in its pages
  int32_t token;       // drawn last, to be fed next
  int32_t drawn;       // tokens drawn so far
  int32_t max_tokens;  // draws only while length < max_tokens
  int32_t stopped;     // a stop id was drawn

  float temperature, top_p, min_p, repetition_penalty;
  int32_t top_k;
  int32_t legal_slots;
  uint64_t seed;
  int32_t first_code, codebook_size;
  int32_t stop_count;
  int32_t stop_ids[LegalRows::kMostStopIds];  // ascending, each once
};

/// One token of a step.
struct DeviceRow {
  int32_t sequence;  // -1: nothing, the row is padding or its sequence has ended
  int32_t position;
  int32_t token;
};

/// A sequence that draws after the step, if it has not ended before. Written by the host.
struct DeviceHead {
  int32_t row;       // of its last token
  int32_t sequence;  // -1: none
};

/// Rows of the output matrix from which sequences with legal slots choose: [first, end), the stop
/// ids included. Whole multiples of kAlignment before and a few rows that nobody wants are cheaper
/// than a product of their own.
struct CodeRange {
  static constexpr int kAlignment = 64;  // of `first`

  int first = 0, end = 0;

  bool operator==(const CodeRange&) const = default;
};

/// Drawn tokens of one head over the draws of a step.
struct DeviceDraws {
  int32_t count;
  int32_t stopped;
  int32_t tokens[SliceResult::kMostTokens];
};

struct DrawTask {
  const DeviceHead* heads = nullptr;    // (S)
  int count = 0;                        // S
  DeviceSequence* sequences = nullptr;  // (max_sequences)
  uint32_t* seen = nullptr;             // (max_sequences, seen_words): prompt and drawn ids
  int seen_words = 0;
  const float* logits = nullptr;  // (S, logits_pitch): the legal ids of each head's sequence valid
  int64_t logits_pitch = 0;
  int vocabulary = 0;
  DeviceDraws* draws = nullptr;  // (S)
};

}  // namespace lyre::cuda
