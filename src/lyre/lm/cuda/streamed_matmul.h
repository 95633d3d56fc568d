#pragma once

#include <cstdint>

#include "lyre/base/cuda/queue.h"
#include "lyre/base/cuda/tensor_map.h"
#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/qkv_outlet.h"

// Products of a weight matrix with few tokens, at the speed of memory. A block takes 16 rows of the
// matrix through shared memory, by the bulk copy engine, and multiplies them by all tokens on the
// tensor cores. The weights do not depend on the kernel before: their copies begin while that still
// runs (programmatic dependent launch), so that the memory never waits for a kernel boundary.
//
// A token's result depends on its own row alone, and not on how many tokens there are: every count
// up to kMostStreamedTokens gives the same bits.
namespace lyre::cuda {

inline constexpr int kMostStreamedTokens = 8;
inline constexpr int kMostDrawing = 1024;  // sequences that draw at a time

/// A weight matrix, and how the copy engine finds its tiles.
struct StreamedWeights {
  DeviceMatrix matrix;
  CUtensorMap tiles;
};
Result<StreamedWeights> streamed_weights(const DeviceMatrix& matrix);

/// Tokens that go into a product: each row is multiplied by `norm_scale(t)` afterwards, which is
/// 1/rms of the token's residual stream, whose elements have been multiplied by the norm's weights
/// already. Without sums: 1.
struct StreamedInput {
  CUtensorMap tiles;                   // (rows, pitch) bf16, pitch of the matrix, padding zero
  const float* square_sums = nullptr;  // (rows, parts): together the sum of the squares of hidden
  int parts = 0;
  int hidden = 0;
  float epsilon = 0;
  int tokens = 0;  // T, of which tiles holds as many
};
/// `tiles` of StreamedInput for the rows 0 ... tokens - 1 and matrices of this format; for
/// legal_logits(), which finds its rows one by one, tokens is 1. rows: that there are in memory.
Result<CUtensorMap> streamed_tiles(const void* values, int rows, int pitch, int tokens,
                                   MatrixFormat format);

/// The residual stream, and what the next norm needs of it.
struct ResidualStream {
  float* hidden = nullptr;       // (T, H)
  void* weighted = nullptr;      // (T, pitch) bf16: hidden times the weights of the next norm
  float* square_sums = nullptr;  // (T, parts): of each tile of 16 elements
  int width = 0;                 // H
  int pitch = 0;                 // of weighted

  constexpr int parts() const { return (width + kTileRows - 1) / kTileRows; }
};

/// Once, on the current device.
Status prepare_streamed_matmul();

/// Queries, keys and values.
void streamed_qkv(Queue& queue, const StreamedWeights& weights, const StreamedInput& input,
                  const QkvOutlet& out);
/// stream.hidden += product; stream.weighted for the norm whose weights (H) are next_norm.
void streamed_residual(Queue& queue, const char* name, const StreamedWeights& weights,
                       const StreamedInput& input, const ResidualStream& stream,
                       const float* next_norm);
/// activations (T, out_pitch) bf16 = silu(gate) * up.
void streamed_gate_up(Queue& queue, const StreamedWeights& weights, const StreamedInput& input,
                      void* activations, int out_pitch);

/// Logits of the sequences that draw: of their legal ids, or of all where the sequence wants that.
struct LogitsTask {
  const DeviceHead* heads = nullptr;  // (S)
  int count = 0;                      // S, at most kMostDrawing
  const DeviceSequence* sequences = nullptr;
  float* logits = nullptr;  // (S, logits_pitch), by token id
  int64_t logits_pitch = 0;
  int vocabulary = 0;
  bool all_ids = false;  // some sequence has no legal slots
};
/// A head's row is one of the input's; input.tokens means nothing.
void legal_logits(Queue& queue, const StreamedWeights& output, const StreamedInput& input,
                  const LogitsTask& task);

}  // namespace lyre::cuda
