#include "lyre/lm/cpu/elementwise.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lyre/lm/cpu/elementwise.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "lyre/lm/cpu/partial_vector-inl.h"

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace lyre::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;

// Calls body(i, count) for every vector of n elements; count is less than a vector for the last.
// Whole vectors and the rest go through the same operations, so that an element's value does not
// depend on where it lies.
template <class Body>
HWY_INLINE void for_each_vector(int64_t n, Body body) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Floats()));
  for (int64_t i = 0; i < n; i += lanes) body(i, static_cast<size_t>(std::min(lanes, n - i)));
}

float inverse_rms_any(const float* x, int64_t n, float eps) {
  const Floats d;
  auto sum = hn::Zero(d);
  for_each_vector(n, [&](int64_t i, size_t count) HWY_ATTR {
    const auto value = load_partial(d, x + i, count);
    sum = hn::MulAdd(value, value, sum);
  });
  const float squares = hn::GetLane(hn::SumOfLanes(d, sum));
  return 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
}

void rotate_head_any(float* head, const float* cosines, const float* sines, int64_t half,
                     float scale) {
  const Floats d;
  const auto factor = hn::Set(d, scale);
  for_each_vector(half, [&](int64_t i, size_t count) HWY_ATTR {
    const auto a = hn::Mul(factor, load_partial(d, head + i, count));
    const auto b = hn::Mul(factor, load_partial(d, head + half + i, count));
    const auto cosine = load_partial(d, cosines + i, count);
    const auto sine = load_partial(d, sines + i, count);
    store_partial(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), d, head + i, count);
    store_partial(hn::MulAdd(a, sine, hn::Mul(b, cosine)), d, head + half + i, count);
  });
}

void silu_multiply_any(const float* gate, const float* up, float scale, float* out, int64_t n) {
  const Floats d;
  const auto factor = hn::Set(d, scale), one = hn::Set(d, 1.0f);
  for_each_vector(n, [&](int64_t i, size_t count) HWY_ATTR {
    const auto g = hn::Mul(factor, load_partial(d, gate + i, count));
    const auto u = hn::Mul(factor, load_partial(d, up + i, count));
    const auto silu = hn::Div(g, hn::Add(one, hn::Exp(d, hn::Neg(g))));
    store_partial(hn::Mul(silu, u), d, out + i, count);
  });
}

void scale_row_any(const float* x, float scale, float* out, int64_t n) {
  const Floats d;
  const auto factor = hn::Set(d, scale);
  for_each_vector(n, [&](int64_t i, size_t count) HWY_ATTR {
    store_partial(hn::Mul(factor, load_partial(d, x + i, count)), d, out + i, count);
  });
}

void add_residual_any(const float* x, const float* norm_weight, float* hidden, float* weighted,
                      int64_t n) {
  const Floats d;
  for_each_vector(n, [&](int64_t i, size_t count) HWY_ATTR {
    const auto sum = hn::Add(load_partial(d, hidden + i, count), load_partial(d, x + i, count));
    store_partial(sum, d, hidden + i, count);
    store_partial(hn::Mul(sum, load_partial(d, norm_weight + i, count)), d, weighted + i, count);
  });
}

}  // namespace
}  // namespace lyre::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lyre::cpu {

HWY_EXPORT(inverse_rms_any);
HWY_EXPORT(rotate_head_any);
HWY_EXPORT(silu_multiply_any);
HWY_EXPORT(scale_row_any);
HWY_EXPORT(add_residual_any);

float inverse_rms(const float* x, int64_t n, float eps) {
  return HWY_DYNAMIC_DISPATCH(inverse_rms_any)(x, n, eps);
}

void rotate_head(float* head, const float* cosines, const float* sines, int64_t half, float scale) {
  HWY_DYNAMIC_DISPATCH(rotate_head_any)(head, cosines, sines, half, scale);
}

void silu_multiply(const float* gate, const float* up, float scale, float* out, int64_t n) {
  HWY_DYNAMIC_DISPATCH(silu_multiply_any)(gate, up, scale, out, n);
}

void scale_row(const float* x, float scale, float* out, int64_t n) {
  HWY_DYNAMIC_DISPATCH(scale_row_any)(x, scale, out, n);
}

void add_residual(const float* x, const float* norm_weight, float* hidden, float* weighted,
                  int64_t n) {
  HWY_DYNAMIC_DISPATCH(add_residual_any)(x, norm_weight, hidden, weighted, n);
}

}  // namespace lyre::cpu
#endif  // HWY_ONCE
