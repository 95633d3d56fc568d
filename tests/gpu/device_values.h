#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"

// Values that tests put onto the device and take back. bf16 is handled here as its 16 bits.
namespace lyre::test {

inline uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits += 0x7FFF + (bits >> 16 & 1);
  return static_cast<uint16_t>(bits >> 16);
}

inline float from_bf16(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline float rounded_bf16(float value) { return from_bf16(to_bf16(value)); }

/// The value of an e4m3 pattern.
inline float from_e4m3(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (bits & 0x80) != 0 ? -size : size;
}

template <class T>
cuda::DeviceMemory on_device(const std::vector<T>& values) {
  auto memory = cuda::DeviceMemory::allocate(
      static_cast<int64_t>(std::max<size_t>(values.size(), 1) * sizeof(T)), "a test");
  LYRE_CHECK(memory.ok());
  LYRE_CHECK(cudaMemcpy(memory->data(), values.data(), values.size() * sizeof(T),
                        cudaMemcpyHostToDevice) == cudaSuccess);
  return *std::move(memory);
}

template <class T>
std::vector<T> from_device(const cuda::DeviceMemory& memory, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  LYRE_CHECK(cudaMemcpy(values.data(), memory.data(), values.size() * sizeof(T),
                        cudaMemcpyDeviceToHost) == cudaSuccess);
  return values;
}

inline std::vector<float> random_values(int64_t count, float scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

inline std::vector<uint16_t> as_bf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(to_bf16(value));
  return bits;
}

inline cuda::Queue test_queue() {
  auto queue = cuda::Queue::create(cuda::Queue::Priority::kNormal);
  LYRE_CHECK(queue.ok());
  return *std::move(queue);
}

}  // namespace lyre::test
