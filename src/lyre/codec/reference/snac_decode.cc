#include "lyre/codec/reference/snac_decode.h"

#include <cmath>
#include <string>

#include "lyre/base/check.h"

namespace lyre::reference {

Signal latents_of(const SnacDecoderWeights& w, std::span<const CodeFrame> frames) {
  const SnacConfig& c = w.config;
  const auto frame_count = static_cast<int64_t>(frames.size());
  Signal sum(c.latent_dim, frame_count * c.latents_per_frame());
  for (int level = 0; level < c.levels(); ++level) {
    const QuantizerWeights& q = w.quantizers[static_cast<size_t>(level)];
    // Codes of this level in order of time.
    std::vector<int32_t> codes;
    for (const CodeFrame& frame : frames) {
      for (size_t slot = 0; slot < frame.codes.size(); ++slot) {
        if (kSlotLevel[slot] == level) codes.push_back(frame.codes[slot]);
      }
    }
    Signal rows(c.codebook_dim, static_cast<int64_t>(codes.size()));
    for (int64_t t = 0; t < rows.steps; ++t) {
      const int32_t code = codes[static_cast<size_t>(t)];
      LYRE_CHECK(code >= 0 && code < c.codebook_size);
      for (int d = 0; d < c.codebook_dim; ++d) {
        rows.row(d)[t] = q.codebook[static_cast<size_t>(int64_t{code} * c.codebook_dim + d)];
      }
    }
    const Signal projected = pointwise(q.out_proj, rows);
    for (int i = 0; i < c.latent_dim; ++i) {
      for (int64_t t = 0; t < sum.steps; ++t) sum.row(i)[t] += projected.row(i)[t / q.stride];
    }
  }
  return sum;
}

std::vector<float> decode(const SnacDecoderWeights& w, std::span<const CodeFrame> frames,
                          const NoiseInput& noise, const Tap& tap) {
  if (frames.empty()) return {};
  int stage = 0;
  const auto done = [&](const Signal& x) {
    if (tap) tap(std::to_string(stage), x);
    ++stage;
  };
  Signal x = latents_of(w, frames);
  if (tap) tap("z_q", x);
  x = convolve_same(w.depthwise_in, x, 1);
  done(x);
  x = pointwise(w.pointwise_in, x);
  done(x);
  for (size_t block = 0; block < w.blocks.size(); ++block) {
    const DecoderBlockWeights& b = w.blocks[block];
    x = upsample(b.upsample, snake(b.snake, x));
    if (w.config.noise && noise) {
      std::vector<float> values(static_cast<size_t>(x.steps));
      noise(static_cast<int>(block), values);
      x = add_noise(b.noise, x, values);
    }
    for (const ResidualUnitWeights& unit : b.units) x = residual_unit(unit, x);
    done(x);
  }
  x = snake(w.snake_out, x);
  done(x);
  x = convolve_same(w.head, x, 1);
  done(x);
  for (float& value : x.values) value = std::tanh(value);
  done(x);
  return std::move(x.values);
}

}  // namespace lyre::reference
