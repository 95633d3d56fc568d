#include "lyre/codec/cpu/elementwise.h"

#include <algorithm>

#include "lyre/codec/snac_geometry.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lyre/codec/cpu/elementwise.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "lyre/codec/cpu/snake-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lyre::snac_cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, kLaneBlock>;
using Vec = hn::Vec<Tag>;

void snake_rows(const Snake& w, Rows in, MutableRows out, int64_t rows, ChannelRange channels) {
  const Tag d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  for (int64_t t = 0; t < rows; ++t) {
    const float* from = in.data + t * in.stride;
    float* to = out.data + t * out.stride;
    for (int c = channels.begin; c < channels.end; c += lanes) {
      hn::Store(snake(d, hn::Load(d, from + c), hn::Load(d, w.alpha.data() + c),
                      hn::Load(d, w.inverse.data() + c)),
                d, to + c);
    }
  }
}

void noise_snake_rows(const Snake& w, Rows x, Rows product, const float* noise, MutableRows sum,
                      MutableRows out, int64_t rows, ChannelRange channels) {
  const Tag d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  for (int64_t t = 0; t < rows; ++t) {
    const float* HWY_RESTRICT value = x.data + t * x.stride;
    const float* HWY_RESTRICT term = product.data + t * product.stride;
    float* HWY_RESTRICT total = sum.data + t * sum.stride;
    float* HWY_RESTRICT to = out.data + t * out.stride;
    const Vec n = hn::Set(d, noise[t]);
    for (int c = channels.begin; c < channels.end; c += lanes) {
      const Vec v = hn::MulAdd(n, hn::Load(d, term + c), hn::Load(d, value + c));
      hn::Store(v, d, total + c);
      hn::Store(snake(d, v, hn::Load(d, w.alpha.data() + c), hn::Load(d, w.inverse.data() + c)), d,
                to + c);
    }
  }
}

void depthwise_rows(const Depthwise& w, const Snake* s, int dilation, Rows in, MutableRows out,
                    int64_t rows, ChannelRange channels) {
  const Tag d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  const int64_t tap_stride = dilation * in.stride;
  for (int c = channels.begin; c < channels.end; c += lanes) {
    // The seven weights of these channels stay in registers over all rows.
    const float* weight = w.weight.data() + c;
    const Vec w0 = hn::Load(d, weight), w1 = hn::Load(d, weight + w.stride),
              w2 = hn::Load(d, weight + 2 * w.stride), w3 = hn::Load(d, weight + 3 * w.stride),
              w4 = hn::Load(d, weight + 4 * w.stride), w5 = hn::Load(d, weight + 5 * w.stride),
              w6 = hn::Load(d, weight + 6 * w.stride);
    const Vec bias = hn::Load(d, w.bias.data() + c);
    const Vec alpha = s == nullptr ? hn::Zero(d) : hn::Load(d, s->alpha.data() + c);
    const Vec inverse = s == nullptr ? hn::Zero(d) : hn::Load(d, s->inverse.data() + c);
    for (int64_t t = 0; t < rows; ++t) {
      const float* HWY_RESTRICT x = in.data + t * in.stride + c;
      Vec sum = hn::MulAdd(w0, hn::Load(d, x), bias);
      sum = hn::MulAdd(w1, hn::Load(d, x + tap_stride), sum);
      sum = hn::MulAdd(w2, hn::Load(d, x + 2 * tap_stride), sum);
      sum = hn::MulAdd(w3, hn::Load(d, x + 3 * tap_stride), sum);
      sum = hn::MulAdd(w4, hn::Load(d, x + 4 * tap_stride), sum);
      sum = hn::MulAdd(w5, hn::Load(d, x + 5 * tap_stride), sum);
      sum = hn::MulAdd(w6, hn::Load(d, x + 6 * tap_stride), sum);
      if (s != nullptr) sum = snake(d, sum, alpha, inverse);
      hn::Store(sum, d, out.data + t * out.stride + c);
    }
  }
}

void head_rows(const Head& w, Rows in, float* out, int64_t rows) {
  const Tag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int64_t kRows = 4;  // independent sums, to hide the latency of the additions
  alignas(64) float sums[kLaneBlock];
  // The taps of one output lie one after the other, as the weights do.
  const int64_t width = int64_t{kDepthwiseTaps} * w.stride;
  for (int64_t first = 0; first < rows; first += kLaneBlock) {
    const int64_t count = std::min<int64_t>(kLaneBlock, rows - first);
    std::fill_n(sums, kLaneBlock, 0.0f);
    for (int64_t r = 0; r < count; r += kRows) {
      Vec sum[kRows];
      const float* x[kRows];
      for (int64_t k = 0; k < kRows; ++k) {
        sum[k] = hn::Zero(d);
        // Rows past the end repeat the last one; their sums are not used.
        x[k] = in.data + (first + std::min(r + k, count - 1)) * in.stride;
      }
      for (int64_t i = 0; i < width; i += lanes) {
        const Vec weight = hn::Load(d, w.weight.data() + i);
        for (int64_t k = 0; k < kRows; ++k) {
          sum[k] = hn::MulAdd(weight, hn::Load(d, x[k] + i), sum[k]);
        }
      }
      for (int64_t k = 0; k < kRows; ++k) {
        if (r + k < count) sums[r + k] = hn::GetLane(hn::SumOfLanes(d, sum[k])) + w.bias;
      }
    }
    for (int64_t i = 0; i < kLaneBlock; i += lanes) {
      hn::Store(hn::Tanh(d, hn::Load(d, sums + i)), d, sums + i);
    }
    std::copy_n(sums, count, out + first);
  }
}

}  // namespace
}  // namespace lyre::snac_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lyre::snac_cpu {

HWY_EXPORT(snake_rows);
HWY_EXPORT(noise_snake_rows);
HWY_EXPORT(depthwise_rows);
HWY_EXPORT(head_rows);

void snake_rows(const Snake& w, Rows in, MutableRows out, int64_t rows, ChannelRange channels) {
  HWY_DYNAMIC_DISPATCH(snake_rows)(w, in, out, rows, channels);
}

void noise_snake_rows(const Snake& w, Rows x, Rows product, const float* noise, MutableRows sum,
                      MutableRows out, int64_t rows, ChannelRange channels) {
  HWY_DYNAMIC_DISPATCH(noise_snake_rows)(w, x, product, noise, sum, out, rows, channels);
}

void depthwise_rows(const Depthwise& w, const Snake* snake, int dilation, Rows in, MutableRows out,
                    int64_t rows, ChannelRange channels) {
  HWY_DYNAMIC_DISPATCH(depthwise_rows)(w, snake, dilation, in, out, rows, channels);
}

void head_rows(const Head& w, Rows in, float* out, int64_t rows) {
  HWY_DYNAMIC_DISPATCH(head_rows)(w, in, out, rows);
}

}  // namespace lyre::snac_cpu
#endif
