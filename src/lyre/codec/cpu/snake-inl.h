// Per-target include guard: this file is compiled once for each SIMD target.
#if defined(LYRE_CODEC_CPU_SNAKE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LYRE_CODEC_CPU_SNAKE_INL_H_
#undef LYRE_CODEC_CPU_SNAKE_INL_H_
#else
#define LYRE_CODEC_CPU_SNAKE_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lyre::snac_cpu::HWY_NAMESPACE {

/// x + inverse * sin(alpha x)^2. The square has period pi: subtract the nearest multiple k of pi
/// (in three parts, so that k times the first two is exact without fused multiply-add, up to
/// alpha x of about 5e4) and take an odd polynomial on [-pi/2, pi/2]; minimax of degree 9, error
/// 3.4e-9, so what is left is rounding: below 1e-6 in all. Beyond that range the clamp keeps the
/// square within [0, 1].
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V snake(D d, V x, V alpha, V inverse) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V angle = hn::Mul(alpha, x);
  const V k = hn::Round(hn::Mul(angle, hn::Set(d, 0.318309886183790672f)));
  V r = hn::NegMulAdd(k, hn::Set(d, 3.140625f), angle);
  r = hn::NegMulAdd(k, hn::Set(d, 0x1.fb4p-11f), r);
  r = hn::NegMulAdd(k, hn::Set(d, 0x1.4442d2p-23f), r);
  const V z = hn::Min(hn::Mul(r, r), hn::Set(d, 2.4674012f));  // (pi / 2)^2
  V p = hn::Set(d, 2.590488501e-06f);
  p = hn::MulAdd(p, z, hn::Set(d, -0.0001980089776f));
  p = hn::MulAdd(p, z, hn::Set(d, 0.008332899823f));
  p = hn::MulAdd(p, z, hn::Set(d, -0.1666664763f));
  p = hn::MulAdd(p, z, hn::Set(d, 0.9999999766f));
  const V square = hn::Mul(z, hn::Mul(p, p));
  return hn::MulAdd(inverse, square, x);
}

}  // namespace lyre::snac_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
