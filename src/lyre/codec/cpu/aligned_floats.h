#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace lyre::snac_cpu {

/// Channels are the vector lanes: every row of activations and every packed weight row is padded
/// with zeros to this many floats, the widest vector of any target, so no kernel has a tail loop.
inline constexpr int kLaneBlock = 16;

constexpr int pad_channels(int channels) {
  return (channels + kLaneBlock - 1) / kLaneBlock * kLaneBlock;
}

/// Zero-initialised floats at a cache line's start (large arrays: at a huge page's). Owner,
/// move-only.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(int64_t size);
  /// Not initialised and not even touched, for who writes all of it, on several threads perhaps:
  /// the first touch of memory costs more than what is written.
  static AlignedFloats untouched(int64_t size);

  float* data() noexcept { return data_.get(); }
  const float* data() const noexcept { return data_.get(); }
  int64_t size() const noexcept { return size_; }
  int64_t size_bytes() const noexcept { return size_ * static_cast<int64_t>(sizeof(float)); }

 private:
  struct Free {
    void operator()(float* p) const noexcept;
  };
  std::unique_ptr<float[], Free> data_;
  int64_t size_ = 0;
};

}  // namespace lyre::snac_cpu
