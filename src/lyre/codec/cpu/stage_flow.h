#pragma once

#include <algorithm>
#include <cstdint>

#include "lyre/codec/snac_geometry.h"

namespace lyre::snac_cpu {

// How the columns (time steps) of one stream pass a layer that looks around itself. A stream's
// position at a layer is a function of the latents pushed so far, so its state is that number and
// the rows which each layer keeps; nothing else.

/// Columns that reach a layer: `received` before this round, `fresh` in it. `finish`: none follow.
struct Flow {
  int64_t received = 0;
  int64_t fresh = 0;
  bool finish = false;
  int64_t total() const { return received + fresh; }
};

/// One stream at one layer in one round. The layer's input rows are [tail | fresh | zeros]: rows
/// kept from earlier rounds, new ones, and the right padding when the speech ends.
struct Inlet {
  int64_t received = 0;  // columns of earlier rounds
  int64_t tail = 0;
  int64_t fresh = 0;
  int64_t zeros = 0;
  int64_t kept = 0;     // last rows of [tail | fresh] to keep for the next round
  int64_t outputs = 0;  // columns that this layer gives in this round
  Flow out;

  // Of a residual unit: its own inputs [held | fresh] wait until their output is there.
  int64_t held = 0;
  int64_t held_after = 0;

  // Of a transposed convolution: products of two neighbouring rows, each `stride` output rows, the
  // first `skip` of which are cut at the very start (and some at the end).
  int64_t products = 0;
  int64_t skip = 0;

  // Where the segments of this stream start in the arrays of all streams; see
  // Pipeline::number_segments().
  int64_t row = 0;
  int64_t held_row = 0;
  int64_t out_row = 0;
  int64_t product_row = 0;

  int64_t rows() const { return tail + fresh + zeros; }
  int64_t held_rows() const { return held + fresh; }
};

/// Depthwise layer with `reach` columns on each side: output r looks at rows r ... r + 2 * reach.
/// The first tail is the left padding of `reach` zeros.
inline Inlet depthwise_inlet(const Flow& in, int64_t reach) {
  Inlet i;
  i.received = in.received;
  i.tail = std::min(in.received + reach, 2 * reach);
  i.fresh = in.fresh;
  i.zeros = in.finish ? reach : 0;
  i.kept = std::min(in.total() + reach, 2 * reach);
  i.held = std::min(in.received, reach);
  i.held_after = std::min(in.total(), reach);
  // A speech without any column has no output either.
  i.outputs = in.total() == 0 ? 0 : std::max<int64_t>(0, i.rows() - 2 * reach);
  i.out = {std::max<int64_t>(0, in.received - reach), i.outputs, in.finish};
  return i;
}

/// Transposed convolution of two taps: product r takes the rows r and r + 1. The first tail is a
/// zero, and so is the row after the last.
inline Inlet upsample_inlet(const Flow& in, int stride) {
  const int64_t cut = upsample_cut(stride);
  const int64_t before = std::max<int64_t>(0, in.received * stride - cut);
  const int64_t after = std::max<int64_t>(0, in.total() * stride - (in.finish ? 0 : cut));
  Inlet i;
  i.received = in.received;
  i.tail = 1;
  i.fresh = in.fresh;
  i.zeros = in.finish ? 1 : 0;
  i.kept = 1;
  i.outputs = after - before;
  i.out = {before, i.outputs, in.finish};
  i.products = in.total() == 0 ? 0 : i.fresh + i.zeros;
  i.skip = in.received == 0 ? std::min(cut, i.products * stride) : 0;
  return i;
}

}  // namespace lyre::snac_cpu
