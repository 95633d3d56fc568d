#include "lyre/lm/cpu/attention.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lyre/lm/cpu/attention.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "lyre/lm/cpu/partial_vector-inl.h"

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace lyre::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Floats>;

constexpr int kPage = KvGeometry::kPageTokens;

HWY_INLINE Vector load(const float* from) { return hn::LoadU(Floats(), from); }
HWY_INLINE Vector load(const hwy::float16_t* from) {
  return hn::PromoteTo(Floats(), hn::LoadU(hn::Rebind<hwy::float16_t, Floats>(), from));
}

// scores[j] = query . key j for the positions of one page.
template <class Element>
HWY_INLINE void score_page(const float* HWY_RESTRICT query, const Element* HWY_RESTRICT keys,
                           int64_t dim, float* HWY_RESTRICT scores) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kVectors = 4;
  for (int64_t j = 0; j < kPage; j += kVectors * lanes) {
    Vector sums[kVectors];
    for (auto& sum : sums) sum = hn::Zero(d);
    for (int64_t i = 0; i < dim; ++i) {
      const Vector q = hn::Set(d, query[i]);
      for (int v = 0; v < kVectors; ++v) {
        sums[v] = hn::MulAdd(q, load(keys + i * kPage + j + v * lanes), sums[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[v], d, scores + j + v * lanes);
  }
}

// scores -> exp(score - highest), zeros beyond `length`; returns their sum.
HWY_INLINE float softmax_weights(float* scores, int64_t length) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t whole = (length + lanes - 1) / lanes * lanes;
  const Vector nothing = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64_t j = length; j < whole; ++j) scores[j] = hn::GetLane(nothing);
  Vector highest = nothing;
  for (int64_t j = 0; j < whole; j += lanes) highest = hn::Max(highest, load(scores + j));
  highest = hn::MaxOfLanes(d, highest);
  Vector sum = hn::Zero(d);
  for (int64_t j = 0; j < whole; j += lanes) {
    const Vector score = load(scores + j);
    const Vector weight =
        hn::IfThenElseZero(hn::Gt(score, nothing), hn::Exp(d, hn::Sub(score, highest)));
    hn::StoreU(weight, d, scores + j);
    sum = hn::Add(sum, weight);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// sums[first ...] of V vectors = sum over positions of weight * value.
template <int V, class Element>
HWY_INLINE void weigh_values(const AttentionTask& task, int64_t values_offset, int64_t width,
                             const float* HWY_RESTRICT weights, int64_t first, float* sums) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  Vector acc[V];
  for (auto& a : acc) a = hn::Zero(d);
  for (int64_t begin = 0; begin < task.length; begin += kPage) {
    const std::byte* head =
        task.pool + task.pages[static_cast<size_t>(begin / kPage)] * task.page_bytes;
    const auto* values = reinterpret_cast<const Element*>(head + values_offset) + first;
    const int64_t count = std::min<int64_t>(kPage, task.length - begin);
    for (int64_t j = 0; j < count; ++j) {
      const Vector weight = hn::Set(d, weights[begin + j]);
      for (int v = 0; v < V; ++v) {
        acc[v] = hn::MulAdd(weight, load(values + j * width + v * lanes), acc[v]);
      }
    }
  }
  for (int v = 0; v < V; ++v) hn::StoreU(acc[v], d, sums + first + v * lanes);
}

template <class Element>
void attend_typed(const KvGeometry& geometry, const AttentionTask& task, float* scores, float* sums,
                  float* out) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t dim = geometry.head_dim, width = geometry.width();
  for (int64_t begin = 0; begin < task.length; begin += kPage) {
    const std::byte* head =
        task.pool + task.pages[static_cast<size_t>(begin / kPage)] * task.page_bytes;
    score_page(task.query, reinterpret_cast<const Element*>(head), dim, scores + begin);
  }
  const float scale = 1.0f / softmax_weights(scores, task.length);
  const int64_t offset = geometry.values_offset_bytes();
  int64_t first = 0;
  for (; first + 8 * lanes <= width; first += 8 * lanes) {
    weigh_values<8, Element>(task, offset, width, scores, first, sums);
  }
  for (; first + 4 * lanes <= width; first += 4 * lanes) {
    weigh_values<4, Element>(task, offset, width, scores, first, sums);
  }
  for (; first < width; first += lanes) {
    weigh_values<1, Element>(task, offset, width, scores, first, sums);
  }
  for (int64_t i = 0; i < dim; ++i) out[i] = sums[i] * scale;
}

void attend_any(const KvGeometry& geometry, const AttentionTask& task, float* scores, float* sums,
                float* out) {
  if (geometry.type == KvType::kF16) {
    attend_typed<hwy::float16_t>(geometry, task, scores, sums, out);
  } else {
    attend_typed<float>(geometry, task, scores, sums, out);
  }
}

// values (n,) -> fp16, element i at to[i * stride].
void store_f16_any(const float* values, int64_t n, hwy::float16_t* to, int64_t stride) {
  const Floats d;
  const hn::Rebind<hwy::float16_t, Floats> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < n; i += lanes) {
    const auto count = static_cast<size_t>(std::min(lanes, n - i));
    hwy::float16_t converted[16];
    hn::StoreU(hn::DemoteTo(half, load_partial(d, values + i, count)), half, converted);
    for (size_t lane = 0; lane < count; ++lane) {
      to[(i + static_cast<int64_t>(lane)) * stride] = converted[lane];
    }
  }
}

}  // namespace
}  // namespace lyre::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lyre::cpu {
namespace {

HWY_EXPORT(attend_any);
HWY_EXPORT(store_f16_any);

void store(const KvGeometry& geometry, const float* values, std::byte* to, int64_t first,
           int64_t stride) {
  if (geometry.type == KvType::kF16) {
    HWY_DYNAMIC_DISPATCH(store_f16_any)
    (values, geometry.head_dim, reinterpret_cast<hwy::float16_t*>(to) + first, stride);
    return;
  }
  float* elements = reinterpret_cast<float*>(to) + first;
  for (int i = 0; i < geometry.head_dim; ++i) elements[i * stride] = values[i];
}

}  // namespace

void store_key(const KvGeometry& geometry, const float* key, int slot, std::byte* head) {
  store(geometry, key, head, slot, KvGeometry::kPageTokens);
}

void store_value(const KvGeometry& geometry, const float* value, int slot, std::byte* head) {
  store(geometry, value, head + geometry.values_offset_bytes(), slot * geometry.width(), 1);
}

void attend(const KvGeometry& geometry, const AttentionTask& task, float* scores, float* sums,
            float* out) {
  HWY_DYNAMIC_DISPATCH(attend_any)(geometry, task, scores, sums, out);
}

}  // namespace lyre::cpu
#endif  // HWY_ONCE
