#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "lyre/base/result.h"

namespace lyre::cpu {

/// Zeroed memory straight from the system, in huge pages where it gives them: fewer TLB misses for
/// what is streamed, and physical memory only for what has been touched. Move-only owner.
class PageMemory {
 public:
  PageMemory() = default;
  /// kResourceExhausted. `what` names it in the message.
  static Result<PageMemory> allocate(int64_t bytes, const char* what);

  PageMemory(PageMemory&& other) noexcept;
  PageMemory& operator=(PageMemory&& other) noexcept;
  ~PageMemory();

  std::byte* data() const noexcept { return data_; }
  int64_t size_bytes() const noexcept { return static_cast<int64_t>(size_bytes_); }

 private:
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

/// Takes memory for a range that has been mapped only; what it holds stays. No other thread may
/// write it meanwhile. kResourceExhausted.
Status make_writable(std::span<std::byte> range);

/// Gives the whole pages of a range back. Only for what is never read again.
void release_pages(std::span<const std::byte> range) noexcept;

}  // namespace lyre::cpu
