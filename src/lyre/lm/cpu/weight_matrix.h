#pragma once

#include <cstdint>

namespace lyre::cpu {

enum class MatrixType : uint8_t { kBF16, kF16, kF32, kInt8 };

/// int8 weights share one scale a row and group of so many columns: value = scale * int8.
inline constexpr int64_t kQuantGroup = 128;

/// A weight matrix as the kernels read it: row-major (rows, columns), which is (outputs, inputs).
/// Never owns.
struct WeightMatrix {
  const void* data = nullptr;
  const float* scales = nullptr;  // int8 only: (rows, ceil(columns / kQuantGroup))
  int64_t rows = 0, columns = 0;
  MatrixType type = MatrixType::kF32;
};

inline int64_t quant_groups(int64_t columns) noexcept {
  return (columns + kQuantGroup - 1) / kQuantGroup;
}

}  // namespace lyre::cpu
