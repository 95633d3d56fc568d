#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/codec/snac_config.h"

namespace lyre {

// Weights of SNAC in float32, weight norm folded, in PyTorch's layouts. C channels, k taps.

/// Convolution; depthwise when inputs_per_output is 1 and outputs equals the input channels.
struct ConvWeights {
  int outputs = 0;
  int inputs_per_output = 0;
  int taps = 1;
  std::vector<float> weight;  // (outputs, inputs_per_output, taps)
  std::vector<float> bias;    // (outputs), or empty: none
};

/// Transposed convolution with 2 * stride taps.
struct UpsampleWeights {
  int inputs = 0;
  int outputs = 0;
  int stride = 1;
  std::vector<float> weight;  // (inputs, outputs, 2 * stride)
  std::vector<float> bias;    // (outputs)
};

struct SnakeWeights {
  std::vector<float> alpha;  // (C)
};

/// Snake, depthwise, Snake, 1x1, added to the input.
struct ResidualUnitWeights {
  int dilation = 1;
  SnakeWeights snake_in;
  ConvWeights depthwise;
  SnakeWeights snake_mid;
  ConvWeights pointwise;
};

struct DecoderBlockWeights {
  SnakeWeights snake;
  UpsampleWeights upsample;
  ConvWeights noise;  // 1x1 without bias; empty when the config has no noise
  std::vector<ResidualUnitWeights> units;
};

/// One level of the quantizer. decoder: codebook and out_proj; encoder: all three.
struct QuantizerWeights {
  int stride = 1;               // latents that one code spans
  std::vector<float> codebook;  // (codebook_size, codebook_dim)
  ConvWeights out_proj;         // codebook_dim -> latent, 1x1
  ConvWeights in_proj;          // latent -> codebook_dim, 1x1
};

struct SnacDecoderWeights {
  SnacConfig config;
  std::vector<QuantizerWeights> quantizers;  // without in_proj
  ConvWeights depthwise_in;                  // latent, k7
  ConvWeights pointwise_in;                  // latent -> decoder_dim
  std::vector<DecoderBlockWeights> blocks;
  SnakeWeights snake_out;
  ConvWeights head;  // k7 to one channel

  int64_t parameters() const;
};

struct EncoderBlockWeights {
  std::vector<ResidualUnitWeights> units;
  SnakeWeights snake;
  int stride = 1;
  ConvWeights downsample;  // C -> 2C, 2 * stride taps, padding ceil(stride / 2)
};

struct SnacEncoderWeights {
  SnacConfig config;
  ConvWeights conv_in;  // 1 -> encoder_dim, k7
  std::vector<EncoderBlockWeights> blocks;
  ConvWeights depthwise_out;                 // latent, k7
  std::vector<QuantizerWeights> quantizers;  // complete
};

/// Reads a SNAC folder: config.json, and model.safetensors or (where there is none)
/// pytorch_model.bin. f32, f16 and bf16 tensors; either spelling of weight norm, or none. The norm
/// is folded here, once: weight = g * v / |v|, |v| over all axes but the first.
Result<SnacDecoderWeights> load_snac_decoder(const std::filesystem::path& folder,
                                             ThreadPool& threads);
Result<SnacDecoderWeights> load_snac_decoder(const std::filesystem::path& folder);  // alone
Result<SnacEncoderWeights> load_snac_encoder(const std::filesystem::path& folder);

/// Weights of the true shapes with random values that keep the signal in range: for benchmarks and
/// tests of sizes of which there is no checkpoint at hand.
SnacDecoderWeights random_snac_decoder(const SnacConfig& config, uint64_t seed);

}  // namespace lyre
