#pragma once

#include <cstdint>

#include "lyre/base/cuda/queue.h"
#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/qkv_outlet.h"
#include "lyre/lm/cuda/streamed_matmul.h"

// What happens to single rows (tokens) of a step between the products.
namespace lyre::cuda {

/// rows[i] for the token that sequence heads[i] has drawn last, and its length one more; nothing
/// (sequence -1) for a sequence that has stopped or is full, or where there is none.
struct DecodeRowsTask {
  const DeviceHead* heads = nullptr;  // (count): the row of head i is i
  int count = 0;
  DeviceSequence* sequences = nullptr;
  DeviceRow* rows = nullptr;  // (count)
};
void decode_rows(Queue& queue, const DecodeRowsTask& task);

/// Rows that the host has written: notes their tokens in the sequences' sets of seen ids and in
/// their lengths.
struct NoteRowsTask {
  const DeviceRow* rows = nullptr;  // (count)
  int count = 0;
  DeviceSequence* sequences = nullptr;
  uint32_t* seen = nullptr;  // (max_sequences, seen_words)
  int seen_words = 0;
};
void note_rows(Queue& queue, const NoteRowsTask& task);

/// stream = embedding rows of the tokens, weighted for the first norm (H); zeros for no token.
void embed(Queue& queue, const DeviceMatrix& embedding, const DeviceRow* rows, int count,
           const ResidualStream& stream, const float* first_norm);

/// stream.weighted = the RMS norm of stream.hidden, whole, for products that do not scale their
/// results: hidden / rms * norm.
void normalise(Queue& queue, const ResidualStream& stream, int count, const float* norm,
               float epsilon);

/// From products (count, width) fp32 of the qkv projection; width a multiple of 16.
void distribute_qkv(Queue& queue, const float* products, int width, int count,
                    const QkvOutlet& out);

/// activations (count, out_pitch) bf16 from products (count, width) bf16 in the order of
/// DeviceLayer::gate_up.
void multiply_gate(Queue& queue, const void* products, int width, int count, void* activations,
                   int out_pitch);

/// out (count, pitch) bf16: row i is row heads[i].row of `values`.
void gather_heads(Queue& queue, const void* values, int pitch, const DeviceHead* heads, int count,
                  void* out);

/// e4m3 of rows (count, pitch) bf16 with one scale a row, for products of fp8: value = scale *
/// stored. A row of zeros has scale 1.
void quantize_rows(Queue& queue, const void* values, int pitch, int count, void* out,
                   float* scales);

}  // namespace lyre::cuda
