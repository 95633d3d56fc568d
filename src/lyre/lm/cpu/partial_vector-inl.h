// Vectors at the end of a row that is no multiple of the vector's length. Compiled once for each
// SIMD target, hence the toggled guard (see "hwy/highway.h" on -inl headers).
#if defined(LYRE_LM_CPU_PARTIAL_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LYRE_LM_CPU_PARTIAL_VECTOR_INL_H_
#undef LYRE_LM_CPU_PARTIAL_VECTOR_INL_H_
#else
#define LYRE_LM_CPU_PARTIAL_VECTOR_INL_H_
#endif

#include <cstring>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lyre::cpu::HWY_NAMESPACE {

/// The first `count` elements, then zeros; nothing beyond them is read.
template <class D, class T = hwy::HWY_NAMESPACE::TFromD<D>>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_partial(D d, const T* from, size_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  // A vector of one element is never partial.
  if (hn::MaxLanes(D()) == 1 || count == hn::Lanes(d)) return hn::LoadU(d, from);
  T elements[hn::MaxLanes(D())] = {};
  std::memcpy(elements, from, count * sizeof(T));
  return hn::LoadU(d, elements);
}

/// Writes the first `count` elements only.
template <class D, class T = hwy::HWY_NAMESPACE::TFromD<D>>
HWY_INLINE void store_partial(hwy::HWY_NAMESPACE::Vec<D> vector, D d, T* to, size_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (hn::MaxLanes(D()) == 1 || count == hn::Lanes(d)) return hn::StoreU(vector, d, to);
  T elements[hn::MaxLanes(D())];
  hn::StoreU(vector, d, elements);
  std::memcpy(to, elements, count * sizeof(T));
}

}  // namespace lyre::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
