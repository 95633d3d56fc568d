#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "lyre/base/check.h"

namespace lyre {

enum class DType : uint8_t { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t dtype_size_bytes(DType dtype) noexcept;
const char* dtype_name(DType dtype) noexcept;  // "bf16", "f32", ...

/// Sizes of a tensor, outermost first; at most kMostDims. A value.
class Shape {
 public:
  static constexpr int kMostDims = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    LYRE_CHECK(sizes.size() <= kMostDims);
    for (const int64_t size : sizes) sizes_[static_cast<size_t>(rank_++)] = size;
  }

  int rank() const noexcept { return rank_; }
  int64_t operator[](int axis) const {
    LYRE_CHECK(axis >= 0 && axis < rank_);
    return sizes_[static_cast<size_t>(axis)];
  }
  void append(int64_t size) {
    LYRE_CHECK(rank_ < kMostDims);
    sizes_[static_cast<size_t>(rank_++)] = size;
  }
  int64_t elements() const noexcept {
    int64_t n = 1;
    for (int axis = 0; axis < rank_; ++axis) n *= sizes_[static_cast<size_t>(axis)];
    return n;
  }
  bool operator==(const Shape&) const = default;
  std::string to_string() const;  // "(512, 1024, 1)"

 private:
  std::array<int64_t, kMostDims> sizes_{};
  int rank_ = 0;
};

/// Bytes of a dense tensor whose sizes come from a file: nothing if a size is negative or the
/// product does not fit.
std::optional<int64_t> checked_size_bytes(const Shape& shape, DType dtype) noexcept;

enum class DeviceKind : uint8_t { kCpu, kCuda };
struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
};

/// Read-only view of a dense, row-major tensor. Never owns; trivially copyable. Whoever hands it
/// out says how long it lives. The data is aligned to the size of one element, and to no more.
struct TensorView {
  const void* data = nullptr;
  Shape shape;
  DType dtype = DType::kF32;
  Device device;

  int64_t size_bytes() const noexcept { return shape.elements() * dtype_size_bytes(dtype); }
  template <class T>
  const T* as() const noexcept {
    return static_cast<const T*>(data);
  }
};

}  // namespace lyre
