#include "lyre/lm/cpu/matmul.h"

#include <algorithm>
#include <type_traits>

#include <hwy/cache_control.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lyre/lm/cpu/matmul.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "lyre/lm/cpu/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lyre::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// At most sixteen fp32 lanes: one AVX-512 register.
using Floats = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Floats>;

// Rows of each element type, widened to fp32. load() reads a whole vector of columns from k on,
// load_some() the first `count` and zeros after them.

struct BF16Rows {
  static constexpr bool kGrouped = false;
  explicit BF16Rows(const WeightMatrix& w)
      : data(static_cast<const uint16_t*>(w.data)), columns(w.columns) {}

  static Vector widen(hn::Vec<hn::Rebind<uint16_t, Floats>> bits) {
    const hn::RebindToUnsigned<Floats> words;
    return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(words, bits)));
  }
  Vector load(int64_t row, int64_t k) const {
    return widen(hn::LoadU(hn::Rebind<uint16_t, Floats>(), data + row * columns + k));
  }
  Vector load_some(int64_t row, int64_t k, size_t count) const {
    return widen(load_partial(hn::Rebind<uint16_t, Floats>(), data + row * columns + k, count));
  }

  const uint16_t* data;
  int64_t columns;
};

struct F16Rows {
  static constexpr bool kGrouped = false;
  explicit F16Rows(const WeightMatrix& w)
      : data(static_cast<const uint16_t*>(w.data)), columns(w.columns) {}

  static Vector widen(hn::Vec<hn::Rebind<uint16_t, Floats>> bits) {
    return hn::PromoteTo(Floats(), hn::BitCast(hn::Rebind<hwy::float16_t, Floats>(), bits));
  }
  Vector load(int64_t row, int64_t k) const {
    return widen(hn::LoadU(hn::Rebind<uint16_t, Floats>(), data + row * columns + k));
  }
  Vector load_some(int64_t row, int64_t k, size_t count) const {
    return widen(load_partial(hn::Rebind<uint16_t, Floats>(), data + row * columns + k, count));
  }

  const uint16_t* data;
  int64_t columns;
};

struct F32Rows {
  static constexpr bool kGrouped = false;
  explicit F32Rows(const WeightMatrix& w)
      : data(static_cast<const float*>(w.data)), columns(w.columns) {}

  Vector load(int64_t row, int64_t k) const {
    return hn::LoadU(Floats(), data + row * columns + k);
  }
  Vector load_some(int64_t row, int64_t k, size_t count) const {
    return load_partial(Floats(), data + row * columns + k, count);
  }

  const float* data;
  int64_t columns;
};

// Without the scales, which the callers apply.
struct Int8Rows {
  static constexpr bool kGrouped = true;
  explicit Int8Rows(const WeightMatrix& w)
      : data(static_cast<const int8_t*>(w.data)),
        scales(w.scales),
        columns(w.columns),
        groups(quant_groups(w.columns)) {}

  static Vector widen(hn::Vec<hn::Rebind<int8_t, Floats>> bytes) {
    const hn::RebindToSigned<Floats> words;
    return hn::ConvertTo(Floats(), hn::PromoteTo(words, bytes));
  }
  Vector load(int64_t row, int64_t k) const {
    return widen(hn::LoadU(hn::Rebind<int8_t, Floats>(), data + row * columns + k));
  }
  Vector load_some(int64_t row, int64_t k, size_t count) const {
    return widen(load_partial(hn::Rebind<int8_t, Floats>(), data + row * columns + k, count));
  }
  Vector scale(int64_t row, int64_t group) const {
    return hn::Set(Floats(), scales[row * groups + group]);
  }

  const int8_t* data;
  const float* scales;
  int64_t columns, groups;
};

// How far ahead of the loads a tile of rows asks for memory. The tile reads R rows side by side,
// and each ends soon: the hardware's prefetchers, which learn one stream after the other and stop
// at page borders, come too late.
constexpr int64_t kPrefetchBytes = 8192;

// R rows by T tokens, one accumulator each: lane i sums the columns i, i + lanes, i + 2 lanes, ...
template <int R, int T, class Rows>
HWY_INLINE void multiply_tile(const Rows& w, int64_t row, const float* HWY_RESTRICT x,
                              int64_t x_stride, float* HWY_RESTRICT out, int64_t out_stride) {
  const Floats d;
  constexpr auto kLanes = static_cast<int64_t>(hn::MaxLanes(Floats()));
  const int64_t columns = w.columns;
  constexpr int64_t kElement = sizeof(*w.data);
  constexpr int64_t kLine = 64 / kElement;  // columns of a cache line
  constexpr int64_t kAhead = kPrefetchBytes / R / kElement / kQuantGroup * kQuantGroup;
  // Columns that share a scale and are asked for together; a multiple of a line.
  constexpr int64_t kGroup = Rows::kGrouped ? kQuantGroup : 2 * kQuantGroup;
  Vector sums[R][T];
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sums[r][t] = hn::Zero(d);
  }
  for (int64_t first = 0; first < columns; first += kGroup) {
    const int64_t last = std::min(columns, first + kGroup);
    // Beyond the end of these rows lie those of the next tile.
    const int64_t ahead = kAhead + (first + kAhead < columns ? 0 : (R - 1) * columns);
    Vector scales[R];
    if constexpr (Rows::kGrouped) {
      const int64_t group = first / kQuantGroup;
      // The scales of a tile lie together, those of the next tile behind them.
      hwy::Prefetch(w.scales + (row + R) * w.groups + group * R);
      for (int r = 0; r < R; ++r) scales[r] = w.scale(row + r, group);
    }
    const auto scaled = [&](Vector weight, int r) HWY_ATTR {
      if constexpr (Rows::kGrouped) return hn::Mul(weight, scales[r]);
      return weight;
    };
    const auto multiply_vector = [&](int64_t k) HWY_ATTR {
      Vector weights[R];
      for (int r = 0; r < R; ++r) weights[r] = scaled(w.load(row + r, k), r);
      for (int t = 0; t < T; ++t) {
        const Vector input = hn::LoadU(d, x + t * x_stride + k);
        for (int r = 0; r < R; ++r) sums[r][t] = hn::MulAdd(weights[r], input, sums[r][t]);
      }
    };
    int64_t k = first;
    for (; k + kLine <= last; k += kLine) {
      for (int r = 0; r < R; ++r) hwy::Prefetch(w.data + (row + r) * columns + k + ahead);
      for (int v = 0; v < kLine / kLanes; ++v) multiply_vector(k + v * kLanes);
    }
    for (; k + kLanes <= last; k += kLanes) multiply_vector(k);
    if (k < last) {
      const auto count = static_cast<size_t>(last - k);
      for (int t = 0; t < T; ++t) {
        const Vector input = load_partial(d, x + t * x_stride + k, count);
        for (int r = 0; r < R; ++r) {
          const Vector weight = scaled(w.load_some(row + r, k, count), r);
          sums[r][t] = hn::MulAdd(weight, input, sums[r][t]);
        }
      }
    }
  }
  for (int t = 0; t < T; ++t) {
    for (int r = 0; r < R; ++r) {
      out[t * out_stride + r] = hn::GetLane(hn::SumOfLanes(d, sums[r][t]));
    }
  }
}

// R rows by any number of tokens. With AVX-512 the largest tile is 4 by 6: 24 accumulators, 4 rows
// and one input make 29 of 32 registers.
template <int R, class Rows>
HWY_INLINE void multiply_rows(const Rows& w, int64_t row, const float* x, int64_t x_stride,
                              int64_t tokens, float* out, int64_t out_stride) {
  int64_t t = 0;
  const auto tiles_of = [&](auto size) HWY_ATTR {
    constexpr int kTokens = decltype(size)::value;
    for (; t + kTokens <= tokens; t += kTokens) {
      multiply_tile<R, kTokens>(w, row, x + t * x_stride, x_stride, out + t * out_stride,
                                out_stride);
    }
  };
  if constexpr (HWY_MAX_BYTES >= 64) tiles_of(std::integral_constant<int, 6>());
  tiles_of(std::integral_constant<int, 4>());
  tiles_of(std::integral_constant<int, 2>());
  tiles_of(std::integral_constant<int, 1>());
}

template <class Rows>
void multiply(const WeightMatrix& matrix, int64_t first_row, int64_t last_row, const float* x,
              int64_t x_stride, int64_t tokens, float* out, int64_t out_stride) {
  // 16 registers hold 2 by 4 sums.
  constexpr int kRows = HWY_MAX_BYTES >= 64 ? 4 : 2;
  // The inputs of so many tokens stay in the second-level cache while the rows go by.
  constexpr int64_t kTokenBlock = 48;
  const Rows w(matrix);
  for (int64_t t = 0; t < tokens; t += kTokenBlock) {
    const int64_t count = std::min(kTokenBlock, tokens - t);
    const float* inputs = x + t * x_stride;
    float* sums = out + t * out_stride;
    int64_t row = first_row;
    for (; row + kRows <= last_row; row += kRows) {
      multiply_rows<kRows>(w, row, inputs, x_stride, count, sums + (row - first_row), out_stride);
    }
    for (; row < last_row; ++row) {
      multiply_rows<1>(w, row, inputs, x_stride, count, sums + (row - first_row), out_stride);
    }
  }
}

template <class Rows>
void decode(const WeightMatrix& matrix, int64_t row, float* HWY_RESTRICT out) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const Rows w(matrix);
  const int64_t group = Rows::kGrouped ? kQuantGroup : w.columns;
  for (int64_t first = 0; first < w.columns; first += group) {
    const int64_t last = std::min(w.columns, first + group);
    for (int64_t k = first; k < last; k += lanes) {
      const auto count = static_cast<size_t>(std::min(lanes, last - k));
      Vector value = w.load_some(row, k, count);
      if constexpr (Rows::kGrouped) value = hn::Mul(value, w.scale(row, first / kQuantGroup));
      store_partial(value, d, out + k, count);
    }
  }
}

void matmul_any(const WeightMatrix& w, int64_t first_row, int64_t last_row, const float* x,
                int64_t x_stride, int64_t tokens, float* out, int64_t out_stride) {
  switch (w.type) {
    case MatrixType::kBF16:
      return multiply<BF16Rows>(w, first_row, last_row, x, x_stride, tokens, out, out_stride);
    case MatrixType::kF16:
      return multiply<F16Rows>(w, first_row, last_row, x, x_stride, tokens, out, out_stride);
    case MatrixType::kF32:
      return multiply<F32Rows>(w, first_row, last_row, x, x_stride, tokens, out, out_stride);
    case MatrixType::kInt8:
      return multiply<Int8Rows>(w, first_row, last_row, x, x_stride, tokens, out, out_stride);
  }
}

void decode_row_any(const WeightMatrix& w, int64_t row, float* out) {
  switch (w.type) {
    case MatrixType::kBF16:
      return decode<BF16Rows>(w, row, out);
    case MatrixType::kF16:
      return decode<F16Rows>(w, row, out);
    case MatrixType::kF32:
      return decode<F32Rows>(w, row, out);
    case MatrixType::kInt8:
      return decode<Int8Rows>(w, row, out);
  }
}

}  // namespace
}  // namespace lyre::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lyre::cpu {

HWY_EXPORT(matmul_any);
HWY_EXPORT(decode_row_any);

void matmul(const WeightMatrix& w, int64_t first_row, int64_t last_row, const float* x,
            int64_t x_stride, int64_t tokens, float* out, int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(matmul_any)
  (w, first_row, last_row, x, x_stride, tokens, out, out_stride);
}

void decode_row(const WeightMatrix& w, int64_t row, float* out) {
  HWY_DYNAMIC_DISPATCH(decode_row_any)(w, row, out);
}

}  // namespace lyre::cpu
#endif  // HWY_ONCE
