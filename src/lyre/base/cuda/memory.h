#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lyre/base/result.h"

namespace lyre::cuda {

/// Memory of the current device. Move-only owner.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Not initialised. kResourceExhausted with what was needed and what is free; `what` names it.
  static Result<DeviceMemory> allocate(int64_t bytes, const char* what);

  DeviceMemory(DeviceMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  ~DeviceMemory();

  void* data() const noexcept { return data_; }
  template <class T>
  T* as() const noexcept {
    return static_cast<T*>(data_);
  }
  int64_t size_bytes() const noexcept { return size_bytes_; }

 private:
  void* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

/// Host memory that the device copies from and to without help of the processor. Move-only owner.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  static Result<PinnedMemory> allocate(int64_t bytes, const char* what);

  PinnedMemory(PinnedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  ~PinnedMemory();

  void* data() const noexcept { return data_; }
  template <class T>
  T* as() const noexcept {
    return static_cast<T*>(data_);
  }
  int64_t size_bytes() const noexcept { return size_bytes_; }

 private:
  void* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

}  // namespace lyre::cuda
