#include "lyre/codec/cpu/aligned_floats.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "lyre/base/check.h"

namespace lyre::snac_cpu {
namespace {

constexpr size_t kCacheLineBytes = 64;
constexpr size_t kHugePageBytes = size_t{2} << 20;

}  // namespace

AlignedFloats::AlignedFloats(int64_t size) {
  *this = untouched(size);
  std::fill_n(data(), size, 0.0f);
}

AlignedFloats AlignedFloats::untouched(int64_t size) {
  LYRE_CHECK(size >= 0);
  const size_t wanted = std::max(static_cast<size_t>(size) * sizeof(float), size_t{1});
  const size_t alignment = wanted >= kHugePageBytes ? kHugePageBytes : kCacheLineBytes;
  const size_t bytes = (wanted + alignment - 1) / alignment * alignment;
  AlignedFloats floats;
  floats.size_ = size;
  floats.data_.reset(static_cast<float*>(std::aligned_alloc(alignment, bytes)));
  LYRE_CHECK(floats.data_ != nullptr);
  // A hint only: fewer TLB misses while tens of megabytes of weights stream by.
  if (alignment == kHugePageBytes) (void)madvise(floats.data(), bytes, MADV_HUGEPAGE);
  return floats;
}

void AlignedFloats::Free::operator()(float* p) const noexcept { std::free(p); }

}  // namespace lyre::snac_cpu
