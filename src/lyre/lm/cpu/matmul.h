#pragma once

#include <cstdint>

#include "lyre/lm/cpu/weight_matrix.h"

namespace lyre::cpu {

/// out[t * out_stride + r - first_row] = sum over k of w[r, k] * x[t * x_stride + k], for
/// first_row <= r < last_row and 0 <= t < tokens. x (tokens, K) and sums are fp32.
/// Every element is summed in one order, which depends on K and the SIMD target only: neither on
/// how many tokens or rows are computed together nor on where they lie in a tile.
void matmul(const WeightMatrix& w, int64_t first_row, int64_t last_row, const float* x,
            int64_t x_stride, int64_t tokens, float* out, int64_t out_stride);

/// out (columns,) = the row as fp32.
void decode_row(const WeightMatrix& w, int64_t row, float* out);

}  // namespace lyre::cpu
