#include "lyre/codec/cpu/matmul.h"

#include "lyre/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lyre/codec/cpu/matmul.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lyre::snac_cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, kLaneBlock>;
using Vec = hn::Vec<Tag>;

// Accumulators of a tile: rows x 2 vectors. AVX-512 has 32 registers: 24 accumulators, two weights
// and the broadcast values. The others: 12 of 16.
constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));
constexpr int kMostTileRows = kLanes == 16 ? 12 : 6;

// One tile: kRows time steps times kVectors vectors of output channels.
template <int kRows, int kVectors>
HWY_INLINE void tile(const float* HWY_RESTRICT w, int64_t w_stride, int taps, int depth,
                     const float* HWY_RESTRICT bias, const MatmulArgs& a, const float* x,
                     const float* add, float* y) {
  const Tag d;
  Vec sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = hn::Load(d, bias + v * kLanes);
      if (add != nullptr) {
        sum[r][v] = hn::Add(sum[r][v], hn::Load(d, add + r * a.add_stride + v * kLanes));
      }
    }
  }
  const int64_t x_stride = a.x_stride;
  for (int tap = 0; tap < taps; ++tap) {
    const float* HWY_RESTRICT in = x + tap * a.tap_stride;
    for (int k = 0; k < depth; ++k) {
      Vec weight[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) weight[v] = hn::Load(d, w + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Vec value = hn::Set(d, in[r * x_stride + k]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(value, weight[v], sum[r][v]);
      }
      w += w_stride;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      hn::Store(sum[r][v], d, y + r * a.y_stride + v * kLanes);
    }
  }
}

template <int kVectors>
void tile_of(int rows, const float* w, int64_t w_stride, const PackedMatrix& m, const float* bias,
             const MatmulArgs& a, const float* x, const float* add, float* y) {
  switch (rows) {
#define LYRE_TILE(n)                              \
  case n:                                         \
    return tile < (n) <= kMostTileRows ? (n) : 1, \
           kVectors > (w, w_stride, m.taps(), m.depth(), bias, a, x, add, y);
    LYRE_TILE(1)
    LYRE_TILE(2)
    LYRE_TILE(3)
    LYRE_TILE(4)
    LYRE_TILE(5)
    LYRE_TILE(6)
    LYRE_TILE(7)
    LYRE_TILE(8)
    LYRE_TILE(9)
    LYRE_TILE(10)
    LYRE_TILE(11)
    LYRE_TILE(12)
#undef LYRE_TILE
    default:
      LYRE_CHECK(false);
  }
}

void matmul(const PackedMatrix& m, PanelRange panels, const MatmulArgs& a) {
  // Tiles of nearly equal height: 13 rows are 7 + 6, not 12 + 1.
  const int64_t tiles = (a.rows + kMostTileRows - 1) / kMostTileRows;
  for (int p = panels.begin; p < panels.end; ++p) {
    const int width = m.panel_width(p);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t first = a.rows * t / tiles;
      const auto rows = static_cast<int>(a.rows * (t + 1) / tiles - first);
      int column = 0;  // within the panel
      for (; column + 2 * kLanes <= width; column += 2 * kLanes) {
        const int64_t n = int64_t{p} * kPanelWidth + column;
        tile_of<2>(rows, m.panel(p) + column, width, m, m.bias() + n, a, a.x + first * a.x_stride,
                   a.add == nullptr ? nullptr : a.add + first * a.add_stride + n,
                   a.y + first * a.y_stride + n);
      }
      if (column < width) {
        const int64_t n = int64_t{p} * kPanelWidth + column;
        tile_of<1>(rows, m.panel(p) + column, width, m, m.bias() + n, a, a.x + first * a.x_stride,
                   a.add == nullptr ? nullptr : a.add + first * a.add_stride + n,
                   a.y + first * a.y_stride + n);
      }
    }
  }
}

}  // namespace
}  // namespace lyre::snac_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lyre::snac_cpu {

HWY_EXPORT(matmul);

void matmul(const PackedMatrix& w, PanelRange panels, const MatmulArgs& args) {
  HWY_DYNAMIC_DISPATCH(matmul)(w, panels, args);
}

}  // namespace lyre::snac_cpu
#endif
