#pragma once

#include <cuda.h>

#include <cstdint>

#include "lyre/base/result.h"

namespace lyre::cuda {

/// Bytes of a row that lie together in shared memory: what a swizzle of 128 bytes permutes.
inline constexpr int kLineBytes = 128;

/// How the copy engine finds boxes of a row-major matrix (rows, pitch_bytes) of bytes or of bf16:
/// `box_rows` rows of `box_lines` lines. In shared memory (1,024-aligned) a box is
/// (box_lines, box_rows) lines, and the 16-byte unit u of line l lies at place u ^ (l % 8): 8 rows
/// are read without meeting a bank twice. What lies outside the matrix is zeros. `data` is
/// 16-aligned, pitch_bytes a multiple of kLineBytes. kDeviceLost if the driver refuses.
Result<CUtensorMap> make_tensor_map(const void* data, int element_bytes, int64_t rows,
                                    int64_t pitch_bytes, int box_rows, int box_lines);

}  // namespace lyre::cuda
