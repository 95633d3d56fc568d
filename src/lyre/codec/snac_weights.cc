#include "lyre/codec/snac_weights.h"

#include <string>

#include "lyre/codec/snac_geometry.h"
#include "lyre/codec/weight_norm.h"

namespace lyre {
namespace {

std::string indexed(const std::string& prefix, int index) {
  return prefix + "." + std::to_string(index);
}

ConvWeights read_conv(WeightReader& read, const std::string& module, int outputs,
                      int inputs_per_output, int taps, bool has_bias = true) {
  ConvWeights w{outputs, inputs_per_output, taps, {}, {}};
  w.weight = read.normed(module, {outputs, inputs_per_output, taps});
  if (has_bias) w.bias = read.plain(module + ".bias", {outputs});
  return w;
}

SnakeWeights read_snake(WeightReader& read, const std::string& module, int channels) {
  return {read.plain(module + ".alpha", {1, channels, 1})};
}

ResidualUnitWeights read_unit(WeightReader& read, const std::string& module, int channels,
                              int dilation) {
  const std::string b = module + ".block";
  ResidualUnitWeights u;
  u.dilation = dilation;
  u.snake_in = read_snake(read, b + ".0", channels);
  u.depthwise = read_conv(read, b + ".1", channels, 1, kDepthwiseTaps);
  u.snake_mid = read_snake(read, b + ".2", channels);
  u.pointwise = read_conv(read, b + ".3", channels, channels, 1);
  return u;
}

DecoderBlockWeights read_decoder_block(WeightReader& read, const std::string& module,
                                       const SnacConfig& config, int block) {
  const std::string b = module + ".block";
  const int inputs = config.decoder_channels(block - 1);
  const int outputs = config.decoder_channels(block);
  DecoderBlockWeights w;
  w.snake = read_snake(read, b + ".0", inputs);
  w.upsample.inputs = inputs;
  w.upsample.outputs = outputs;
  w.upsample.stride = config.decoder_rates[static_cast<size_t>(block)];
  w.upsample.weight = read.normed(b + ".1", {inputs, outputs, 2 * w.upsample.stride});
  w.upsample.bias = read.plain(b + ".1.bias", {outputs});
  int child = 2;
  if (config.noise) {
    w.noise = read_conv(read, indexed(b, child++) + ".linear", outputs, outputs, 1, false);
  }
  for (const int dilation : kDilations) {
    w.units.push_back(read_unit(read, indexed(b, child++), outputs, dilation));
  }
  return w;
}

EncoderBlockWeights read_encoder_block(WeightReader& read, const std::string& module, int inputs,
                                       int stride) {
  const std::string b = module + ".block";
  EncoderBlockWeights w;
  int child = 0;
  for (const int dilation : kDilations) {
    w.units.push_back(read_unit(read, indexed(b, child++), inputs, dilation));
  }
  w.snake = read_snake(read, indexed(b, child++), inputs);
  w.stride = stride;
  w.downsample = read_conv(read, indexed(b, child), 2 * inputs, inputs, 2 * stride);
  return w;
}

std::vector<QuantizerWeights> read_quantizers(WeightReader& read, const SnacConfig& config,
                                              bool with_in_proj) {
  std::vector<QuantizerWeights> out;
  for (int level = 0; level < config.levels(); ++level) {
    const std::string q = indexed("quantizer.quantizers", level);
    QuantizerWeights w;
    w.stride = config.vq_strides[static_cast<size_t>(level)];
    w.codebook = read.plain(q + ".codebook.weight", {config.codebook_size, config.codebook_dim});
    w.out_proj = read_conv(read, q + ".out_proj", config.latent_dim, config.codebook_dim, 1);
    if (with_in_proj) {
      w.in_proj = read_conv(read, q + ".in_proj", config.codebook_dim, config.latent_dim, 1);
    }
    out.push_back(std::move(w));
  }
  return out;
}

Result<TensorArchive> open_checkpoint(const std::filesystem::path& folder) {
  const auto safetensors = folder / "model.safetensors";
  const auto torch = folder / "pytorch_model.bin";
  if (std::filesystem::exists(safetensors)) return open_safetensors(safetensors);
  if (std::filesystem::exists(torch)) return open_torch_checkpoint(torch);
  return Error{ErrorCode::kNotFound,
               folder.string() + ": neither model.safetensors nor pytorch_model.bin is there"};
}

int64_t size(const std::vector<float>& values) { return static_cast<int64_t>(values.size()); }
int64_t size(const ConvWeights& w) { return size(w.weight) + size(w.bias); }

}  // namespace

int64_t SnacDecoderWeights::parameters() const {
  int64_t n = size(depthwise_in) + size(pointwise_in) + size(snake_out.alpha) + size(head);
  for (const QuantizerWeights& q : quantizers) n += size(q.codebook) + size(q.out_proj);
  for (const DecoderBlockWeights& b : blocks) {
    n += size(b.snake.alpha) + size(b.upsample.weight) + size(b.upsample.bias) + size(b.noise);
    for (const ResidualUnitWeights& u : b.units) {
      n += size(u.snake_in.alpha) + size(u.depthwise) + size(u.snake_mid.alpha) + size(u.pointwise);
    }
  }
  return n;
}

Result<SnacDecoderWeights> load_snac_decoder(const std::filesystem::path& folder) {
  SnacDecoderWeights w;
  LYRE_ASSIGN_OR_RETURN(w.config, read_snac_config(folder / "config.json"));
  LYRE_ASSIGN_OR_RETURN(const TensorArchive archive, open_checkpoint(folder));
  WeightReader read(archive);
  const SnacConfig& c = w.config;
  w.quantizers = read_quantizers(read, c, false);
  const std::string model = "decoder.model";
  int child = 0;
  w.depthwise_in = read_conv(read, indexed(model, child++), c.latent_dim, 1, kDepthwiseTaps);
  w.pointwise_in = read_conv(read, indexed(model, child++), c.decoder_dim, c.latent_dim, 1);
  const int blocks = static_cast<int>(c.decoder_rates.size());
  for (int block = 0; block < blocks; ++block) {
    w.blocks.push_back(read_decoder_block(read, indexed(model, child++), c, block));
  }
  const int last = c.decoder_channels(blocks - 1);
  w.snake_out = read_snake(read, indexed(model, child++), last);
  w.head = read_conv(read, indexed(model, child), 1, last, kDepthwiseTaps);
  LYRE_RETURN_IF_ERROR(read.status());
  return w;
}

Result<SnacEncoderWeights> load_snac_encoder(const std::filesystem::path& folder) {
  SnacEncoderWeights w;
  LYRE_ASSIGN_OR_RETURN(w.config, read_snac_config(folder / "config.json"));
  LYRE_ASSIGN_OR_RETURN(const TensorArchive archive, open_checkpoint(folder));
  WeightReader read(archive);
  const SnacConfig& c = w.config;
  const std::string model = "encoder.block";
  int child = 0;
  int channels = c.encoder_dim;
  w.conv_in = read_conv(read, indexed(model, child++), channels, 1, kDepthwiseTaps);
  for (const int stride : c.encoder_rates) {
    w.blocks.push_back(read_encoder_block(read, indexed(model, child++), channels, stride));
    channels *= 2;
  }
  w.depthwise_out = read_conv(read, indexed(model, child), channels, 1, kDepthwiseTaps);
  w.quantizers = read_quantizers(read, c, true);
  LYRE_RETURN_IF_ERROR(read.status());
  return w;
}

}  // namespace lyre
