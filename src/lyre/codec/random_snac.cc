#include <cmath>

#include "lyre/base/philox.h"
#include "lyre/codec/snac_geometry.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {
namespace {

// Values in order of asking; each tensor gets a stream of its own.
class RandomTensors {
 public:
  explicit RandomTensors(uint64_t seed)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {}

  // Uniform with the standard deviation given.
  std::vector<float> spread(int64_t size, double deviation) {
    return uniform(size, -deviation * std::sqrt(3.0), deviation * std::sqrt(3.0));
  }

  std::vector<float> uniform(int64_t size, double low, double high) {
    std::vector<float> out(static_cast<size_t>(size));
    const uint32_t tensor = tensors_++;
    for (size_t i = 0; i < out.size(); ++i) {
      if (i % 4 == 0) words_ = philox4x32({static_cast<uint32_t>(i / 4), tensor, 0, 0}, key_);
      out[i] = static_cast<float>(low + (high - low) * double{uniform_from_bits(words_[i % 4])});
    }
    return out;
  }

  ConvWeights conv(int outputs, int inputs_per_output, int taps, double gain, bool bias = true) {
    ConvWeights w{outputs, inputs_per_output, taps, {}, {}};
    const int64_t fan_in = int64_t{inputs_per_output} * taps;
    w.weight = spread(outputs * fan_in, gain / std::sqrt(static_cast<double>(fan_in)));
    if (bias) w.bias = spread(outputs, 0.05);
    return w;
  }

  SnakeWeights snake(int channels) { return {uniform(channels, 0.5, 2.0)}; }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> words_{};
  uint32_t tensors_ = 0;
};

}  // namespace

SnacDecoderWeights random_snac_decoder(const SnacConfig& config, uint64_t seed) {
  RandomTensors random(seed);
  SnacDecoderWeights w;
  w.config = config;
  for (const int stride : config.vq_strides) {
    QuantizerWeights q;
    q.stride = stride;
    q.codebook = random.spread(int64_t{config.codebook_size} * config.codebook_dim, 1.0);
    q.out_proj = random.conv(config.latent_dim, config.codebook_dim, 1, 1.0);
    w.quantizers.push_back(std::move(q));
  }
  w.depthwise_in = random.conv(config.latent_dim, 1, kDepthwiseTaps, 1.0);
  w.pointwise_in = random.conv(config.decoder_dim, config.latent_dim, 1, 1.0);
  for (int block = 0; block < static_cast<int>(config.decoder_rates.size()); ++block) {
    const int inputs = config.decoder_channels(block - 1);
    const int outputs = config.decoder_channels(block);
    DecoderBlockWeights b;
    b.snake = random.snake(inputs);
    b.upsample = {inputs, outputs, config.decoder_rates[static_cast<size_t>(block)], {}, {}};
    // Two taps an input reach each output. Snake adds about a half; 0.5 keeps the level over the
    // residual units that follow.
    b.upsample.weight = random.spread(int64_t{inputs} * outputs * 2 * b.upsample.stride,
                                      0.5 / std::sqrt(2.0 * inputs));
    b.upsample.bias = random.spread(outputs, 0.05);
    if (config.noise) b.noise = random.conv(outputs, outputs, 1, 0.3, false);
    for (const int dilation : kDilations) {
      ResidualUnitWeights u;
      u.dilation = dilation;
      u.snake_in = random.snake(outputs);
      u.depthwise = random.conv(outputs, 1, kDepthwiseTaps, 0.7);
      u.snake_mid = random.snake(outputs);
      u.pointwise = random.conv(outputs, outputs, 1, 0.4);
      b.units.push_back(std::move(u));
    }
    w.blocks.push_back(std::move(b));
  }
  const int last = config.decoder_channels(static_cast<int>(config.decoder_rates.size()) - 1);
  w.snake_out = random.snake(last);
  w.head = random.conv(1, last, kDepthwiseTaps, 0.2);
  return w;
}

}  // namespace lyre
