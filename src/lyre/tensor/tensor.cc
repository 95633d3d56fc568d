#include "lyre/tensor/tensor.h"

namespace lyre {

int64_t dtype_size_bytes(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
      return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  LYRE_CHECK(false);
}

const char* dtype_name(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF64:
      return "f64";
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kI64:
      return "i64";
    case DType::kI32:
      return "i32";
    case DType::kI16:
      return "i16";
    case DType::kI8:
      return "i8";
    case DType::kU8:
      return "u8";
    case DType::kBool:
      return "bool";
  }
  LYRE_CHECK(false);
}

std::string Shape::to_string() const {
  std::string text = "(";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string((*this)[axis]);
  }
  return text += ")";
}

std::optional<int64_t> checked_size_bytes(const Shape& shape, DType dtype) noexcept {
  // A zero anywhere makes the whole empty, also where the other sizes would overflow; a negative
  // size is none.
  bool empty = false, overflow = false;
  int64_t bytes = dtype_size_bytes(dtype);
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const int64_t size = shape[axis];
    if (size < 0) return std::nullopt;
    empty |= size == 0;
    overflow |= __builtin_mul_overflow(bytes, size, &bytes);
  }
  if (empty) return 0;
  if (overflow) return std::nullopt;
  return bytes;
}

}  // namespace lyre
