#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lyre/lm/llama_weights.h"

// Which row of which tensor lies in each row of a matrix on the device. Arithmetic only: no CUDA.
namespace lyre::cuda {

/// A row of a tensor in a file, or zeros.
struct StoredRow {
  const std::byte* data = nullptr;  // nullptr: zeros
  DType dtype = DType::kBF16;
};

/// padded_rows rows: those of the tensor, then zeros.
std::vector<StoredRow> rows_of(const TensorView& view, int padded_rows);

/// As DeviceLayer::qkv.
std::vector<StoredRow> rows_of_qkv(const LlamaConfig& config, const LlamaLayerWeights& layer,
                                   int padded_rows);

/// As DeviceLayer::gate_up.
std::vector<StoredRow> rows_of_gate_up(const LlamaLayerWeights& layer, int padded_rows);

/// Writes columns values as bf16 and zeros up to pitch.
void write_bf16_row(const StoredRow& row, int columns, int pitch, uint16_t* out) noexcept;

}  // namespace lyre::cuda
