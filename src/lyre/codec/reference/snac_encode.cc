#include "lyre/codec/reference/snac_encode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "lyre/base/check.h"
#include "lyre/codec/snac_geometry.h"

namespace lyre::reference {
namespace {

// Row divided by its length, as torch.nn.functional.normalize does.
std::vector<float> normalized(const float* values, int count) {
  float squares = 0;
  for (int i = 0; i < count; ++i) squares += values[i] * values[i];
  const float length = std::max(std::sqrt(squares), 1e-12f);
  std::vector<float> out(values, values + count);
  for (float& value : out) value /= length;
  return out;
}

Signal average_pool(const Signal& x, int stride) {
  Signal y(x.channels, x.steps / stride);
  for (int c = 0; c < y.channels; ++c) {
    for (int64_t t = 0; t < y.steps; ++t) {
      float sum = 0;
      for (int k = 0; k < stride; ++k) sum += x.row(c)[t * stride + k];
      y.row(c)[t] = sum / static_cast<float>(stride);
    }
  }
  return y;
}

// Codebook row next to each column in direction; the first of equally near ones.
std::vector<int32_t> nearest(const QuantizerWeights& q, const Signal& z_e) {
  const int dim = z_e.channels;
  const auto rows = static_cast<int32_t>(q.codebook.size() / static_cast<size_t>(dim));
  std::vector<std::vector<float>> codebook;
  for (int32_t row = 0; row < rows; ++row) {
    codebook.push_back(normalized(q.codebook.data() + int64_t{row} * dim, dim));
  }
  std::vector<int32_t> codes(static_cast<size_t>(z_e.steps));
  std::vector<float> column(static_cast<size_t>(dim));
  for (int64_t t = 0; t < z_e.steps; ++t) {
    for (int d = 0; d < dim; ++d) column[static_cast<size_t>(d)] = z_e.row(d)[t];
    const auto direction = normalized(column.data(), dim);
    float best = -std::numeric_limits<float>::infinity();
    for (int32_t row = 0; row < rows; ++row) {
      float product = 0;
      for (int d = 0; d < dim; ++d) {
        product += direction[static_cast<size_t>(d)] *
                   codebook[static_cast<size_t>(row)][static_cast<size_t>(d)];
      }
      if (product > best) {
        best = product;
        codes[static_cast<size_t>(t)] = row;
      }
    }
  }
  return codes;
}

}  // namespace

std::vector<CodeFrame> quantize(const SnacEncoderWeights& w, Signal z, const EncodeTap& tap) {
  const SnacConfig& c = w.config;
  LYRE_CHECK(z.channels == c.latent_dim && z.steps % c.latents_per_frame() == 0);
  std::vector<CodeFrame> frames(static_cast<size_t>(z.steps / c.latents_per_frame()));
  for (int level = 0; level < c.levels(); ++level) {
    const QuantizerWeights& q = w.quantizers[static_cast<size_t>(level)];
    const Signal z_e = pointwise(q.in_proj, average_pool(z, q.stride));
    if (tap) tap("level." + std::to_string(level) + ".z_e", z_e);
    const auto codes = nearest(q, z_e);
    // What this level says is taken off; the finer ones code the rest.
    Signal rows(c.codebook_dim, z_e.steps);
    for (int64_t t = 0; t < rows.steps; ++t) {
      for (int d = 0; d < c.codebook_dim; ++d) {
        const int64_t at = int64_t{codes[static_cast<size_t>(t)]} * c.codebook_dim + d;
        rows.row(d)[t] = q.codebook[static_cast<size_t>(at)];
      }
    }
    const Signal said = pointwise(q.out_proj, rows);
    for (int i = 0; i < z.channels; ++i) {
      for (int64_t t = 0; t < z.steps; ++t) z.row(i)[t] -= said.row(i)[t / q.stride];
    }
    size_t next = 0;
    for (CodeFrame& frame : frames) {
      for (size_t slot = 0; slot < frame.codes.size(); ++slot) {
        if (kSlotLevel[slot] == level) frame.codes[slot] = codes[next++];
      }
    }
    LYRE_CHECK(next == codes.size());
  }
  return frames;
}

std::vector<CodeFrame> encode(const SnacEncoderWeights& w, std::span<const float> pcm,
                              const EncodeTap& tap) {
  const int64_t frame_samples = w.config.samples_per_frame();
  const auto samples = static_cast<int64_t>(pcm.size());
  Signal x(1, (samples + frame_samples - 1) / frame_samples * frame_samples);
  if (x.steps == 0) return {};
  std::copy(pcm.begin(), pcm.end(), x.values.begin());
  int stage = 0;
  const auto done = [&] {
    if (tap) tap(std::to_string(stage), x);
    ++stage;
  };
  x = convolve_same(w.conv_in, x, 1);
  done();
  for (const EncoderBlockWeights& block : w.blocks) {
    for (const ResidualUnitWeights& unit : block.units) x = residual_unit(unit, x);
    x = convolve(block.downsample, snake(block.snake, x), block.stride, 1,
                 downsample_padding(block.stride));
    done();
  }
  x = convolve_same(w.depthwise_out, x, 1);
  done();
  return quantize(w, std::move(x), tap);
}

}  // namespace lyre::reference
