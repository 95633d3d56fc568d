#include "lyre/lm/cuda/stored_rows.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "lyre/base/check.h"
#include "lyre/lm/cuda/device_types.h"
#include "lyre/tensor/float_formats.h"

namespace lyre::cuda {
namespace {

// Row `at` of a matrix; zeros behind the last.
StoredRow row_at(const TensorView& view, int64_t at) {
  if (at >= view.shape[0]) return {};
  const int64_t row_bytes = view.shape[1] * dtype_size_bytes(view.dtype);
  return {view.as<std::byte>() + at * row_bytes, view.dtype};
}

// Nearest, ties to even; a NaN stays one.
uint16_t f32_to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  const uint32_t quiet = bits >> 16 | 0x40u;
  return static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded);
}

// memcpy and not a cast: a mapped file holds no objects of type T.
template <class T, class ToFloat>
void convert(const std::byte* from, int count, uint16_t* out, ToFloat to_float) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, from + i * int64_t{sizeof(T)}, sizeof(T));
    out[i] = f32_to_bf16(to_float(value));
  }
}

}  // namespace

std::vector<StoredRow> rows_of(const TensorView& view, int padded_rows) {
  std::vector<StoredRow> rows(static_cast<size_t>(padded_rows));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = row_at(view, static_cast<int64_t>(i));
  return rows;
}

std::vector<StoredRow> rows_of_qkv(const LlamaConfig& config, const LlamaLayerWeights& layer,
                                   int padded_rows) {
  std::vector<StoredRow> rows;
  rows.reserve(static_cast<size_t>(padded_rows));
  const int head_dim = config.head_dim;
  for (const TensorView* heads : {&layer.query, &layer.key}) {
    for (int64_t first = 0; first < heads->shape[0]; first += head_dim) {
      for (int at = 0; at < head_dim; ++at) {
        rows.push_back(row_at(*heads, first + stored_dim(at, head_dim)));
      }
    }
  }
  for (int64_t at = 0; at < layer.value.shape[0]; ++at) rows.push_back(row_at(layer.value, at));
  LYRE_CHECK(rows.size() <= static_cast<size_t>(padded_rows));
  rows.resize(static_cast<size_t>(padded_rows));
  return rows;
}

std::vector<StoredRow> rows_of_gate_up(const LlamaLayerWeights& layer, int padded_rows) {
  std::vector<StoredRow> rows(static_cast<size_t>(padded_rows));
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    rows[i] = row_at(at % 16 < 8 ? layer.gate : layer.up, at / 16 * 8 + at % 8);
  }
  return rows;
}

void write_bf16_row(const StoredRow& row, int columns, int pitch, uint16_t* out) noexcept {
  const int count = row.data == nullptr ? 0 : columns;
  switch (row.dtype) {
    case DType::kF32:
      convert<float>(row.data, count, out, [](float value) { return value; });
      break;
    case DType::kF16:
      convert<uint16_t>(row.data, count, out, f16_to_f32);
      break;
    default:
      LYRE_CHECK(row.dtype == DType::kBF16);
      if (count > 0) std::memcpy(out, row.data, static_cast<size_t>(count) * sizeof(uint16_t));
  }
  std::fill(out + count, out + pitch, uint16_t{0});
}

}  // namespace lyre::cuda
