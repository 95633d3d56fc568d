#include "lyre/lm/cpu/attention.h"

#include <algorithm>
#include <limits>

#include <hwy/cache_control.h>

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

// AVX-512 has 32 registers, the others 16.
constexpr bool kManyRegisters = HWY_MAX_BYTES >= 64;

// Asks for `bytes` of the page that comes next while this one is read: pages lie anywhere, and the
// hardware's prefetchers start anew in each.
HWY_INLINE void prefetch(const std::byte* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) hwy::Prefetch(from + at);
}

// scores[h * stride + j] = query h . key j for the positions of one page.
template <int Heads, class Element>
HWY_INLINE void score_page(const float* HWY_RESTRICT queries, const std::byte* page,
                           const std::byte* next, int64_t dim, float* HWY_RESTRICT scores,
                           int64_t stride) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* HWY_RESTRICT keys = reinterpret_cast<const Element*>(page);
  constexpr int64_t kRowBytes = kPage * sizeof(Element);
  constexpr int kVectors = kManyRegisters ? 4 : 2;
  for (int64_t j = 0; j < kPage; j += kVectors * lanes) {
    Vector sums[Heads][kVectors];
    for (auto& head : sums) {
      for (auto& sum : head) sum = hn::Zero(d);
    }
    for (int64_t i = 0; i < dim; ++i) {
      prefetch(next + i * kRowBytes, kRowBytes);
      for (int v = 0; v < kVectors; ++v) {
        const Vector key = load(keys + i * kPage + j + v * lanes);
        for (int h = 0; h < Heads; ++h) {
          sums[h][v] = hn::MulAdd(hn::Set(d, queries[h * dim + i]), key, sums[h][v]);
        }
      }
    }
    for (int h = 0; h < Heads; ++h) {
      for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(sums[h][v], d, scores + h * stride + j + v * lanes);
      }
    }
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

// The pages of one KV head, in order of position.
class Pages {
 public:
  Pages(const AttentionTask& task) : task_(task) {}

  int64_t count() const { return (task_.length + kPage - 1) / kPage; }
  const std::byte* at(int64_t i) const {
    return task_.pool + task_.pages[static_cast<size_t>(i)] * task_.page_bytes;
  }
  // The last page stands for the one after it, which is not there.
  const std::byte* after(int64_t i) const { return at(std::min(i + 1, count() - 1)); }

 private:
  const AttentionTask& task_;
};

// sums[h * width + first ...] of V vectors = sum over positions of weight * value.
template <int Heads, int V, class Element>
HWY_INLINE void weigh_values(const AttentionTask& task, int64_t values_offset, int64_t width,
                             const float* HWY_RESTRICT weights, int64_t stride, int64_t first,
                             float* sums) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const Pages pages(task);
  Vector acc[Heads][V];
  for (auto& head : acc) {
    for (auto& a : head) a = hn::Zero(d);
  }
  const int64_t offset = values_offset + first * static_cast<int64_t>(sizeof(Element));
  const int64_t row_bytes = width * static_cast<int64_t>(sizeof(Element));
  for (int64_t page = 0; page < pages.count(); ++page) {
    const auto* values = reinterpret_cast<const Element*>(pages.at(page) + offset);
    const std::byte* next = pages.after(page) + offset;
    const int64_t begin = page * kPage, count = std::min<int64_t>(kPage, task.length - begin);
    for (int64_t j = 0; j < count; ++j) {
      prefetch(next + j * row_bytes, V * lanes * static_cast<int64_t>(sizeof(Element)));
      for (int v = 0; v < V; ++v) {
        const Vector value = load(values + j * width + v * lanes);
        for (int h = 0; h < Heads; ++h) {
          acc[h][v] = hn::MulAdd(hn::Set(d, weights[h * stride + begin + j]), value, acc[h][v]);
        }
      }
    }
  }
  for (int h = 0; h < Heads; ++h) {
    for (int v = 0; v < V; ++v) hn::StoreU(acc[h][v], d, sums + h * width + first + v * lanes);
  }
}

template <int Heads, class Element>
void attend_heads(const KvGeometry& geometry, const AttentionTask& task,
                  const AttentionScratch& scratch, float* out) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t dim = geometry.head_dim, width = geometry.width(), stride = scratch.positions;
  const Pages pages(task);
  for (int64_t page = 0; page < pages.count(); ++page) {
    score_page<Heads, Element>(task.queries, pages.at(page), pages.after(page), dim,
                               scratch.scores + page * kPage, stride);
  }
  float scales[Heads];
  for (int h = 0; h < Heads; ++h) {
    scales[h] = 1.0f / softmax_weights(scratch.scores + h * stride, task.length);
  }
  const int64_t offset = geometry.values_offset_bytes();
  constexpr int kMost = kManyRegisters && Heads <= 3 ? 8 : kManyRegisters || Heads <= 2 ? 4 : 2;
  int64_t first = 0;
  for (; first + kMost * lanes <= width; first += kMost * lanes) {
    weigh_values<Heads, kMost, Element>(task, offset, width, scratch.scores, stride, first,
                                        scratch.sums);
  }
  for (; first + 2 * lanes <= width; first += 2 * lanes) {
    weigh_values<Heads, 2, Element>(task, offset, width, scratch.scores, stride, first,
                                    scratch.sums);
  }
  for (; first < width; first += lanes) {
    weigh_values<Heads, 1, Element>(task, offset, width, scratch.scores, stride, first,
                                    scratch.sums);
  }
  for (int h = 0; h < Heads; ++h) {
    for (int64_t i = 0; i < dim; ++i) out[h * dim + i] = scratch.sums[h * width + i] * scales[h];
  }
}

template <class Element>
void attend_typed(const KvGeometry& geometry, const AttentionTask& task,
                  const AttentionScratch& scratch, float* out) {
  AttentionTask part = task;
  for (int left = task.heads; left > 0; left -= part.heads) {
    part.heads = std::min(left, AttentionTask::kHeadsAtOnce);
    switch (part.heads) {
      case 4:
        attend_heads<4, Element>(geometry, part, scratch, out);
        break;
      case 3:
        attend_heads<3, Element>(geometry, part, scratch, out);
        break;
      case 2:
        attend_heads<2, Element>(geometry, part, scratch, out);
        break;
      default:
        attend_heads<1, Element>(geometry, part, scratch, out);
    }
    part.queries += part.heads * geometry.head_dim;
    out += part.heads * geometry.head_dim;
  }
}

void attend_any(const KvGeometry& geometry, const AttentionTask& task,
                const AttentionScratch& scratch, float* out) {
  if (geometry.type == KvType::kF16) {
    attend_typed<hwy::float16_t>(geometry, task, scratch, out);
  } else {
    attend_typed<float>(geometry, task, scratch, out);
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

void attend(const KvGeometry& geometry, const AttentionTask& task, const AttentionScratch& scratch,
            float* out) {
  HWY_DYNAMIC_DISPATCH(attend_any)(geometry, task, scratch, out);
}

}  // namespace lyre::cpu
#endif  // HWY_ONCE
