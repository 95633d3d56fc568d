#include "lyre/codec/snac_weights.h"

#include <iterator>
#include <string>

#include "lyre/codec/snac_geometry.h"
#include "lyre/codec/weight_norm.h"

namespace lyre {
namespace {

std::string indexed(const std::string& prefix, int index) {
  return prefix + "." + std::to_string(index);
}

void read_conv(WeightReader& read, const std::string& module, int outputs, int inputs_per_output,
               int taps, ConvWeights& w, bool has_bias = true) {
  w.outputs = outputs;
  w.inputs_per_output = inputs_per_output;
  w.taps = taps;
  read.normed(module, {outputs, inputs_per_output, taps}, w.weight);
  if (has_bias) read.plain(module + ".bias", {outputs}, w.bias);
}

void read_snake(WeightReader& read, const std::string& module, int channels, SnakeWeights& w) {
  read.plain(module + ".alpha", {1, channels, 1}, w.alpha);
}

void read_unit(WeightReader& read, const std::string& module, int channels, int dilation,
               ResidualUnitWeights& u) {
  const std::string b = module + ".block";
  u.dilation = dilation;
  read_snake(read, b + ".0", channels, u.snake_in);
  read_conv(read, b + ".1", channels, 1, kDepthwiseTaps, u.depthwise);
  read_snake(read, b + ".2", channels, u.snake_mid);
  read_conv(read, b + ".3", channels, channels, 1, u.pointwise);
}

void read_units(WeightReader& read, const std::string& block, int& child, int channels,
                std::vector<ResidualUnitWeights>& units) {
  units.resize(std::size(kDilations));
  for (size_t k = 0; k < units.size(); ++k) {
    read_unit(read, indexed(block, child++), channels, kDilations[k], units[k]);
  }
}

void read_decoder_block(WeightReader& read, const std::string& module, const SnacConfig& config,
                        int block, DecoderBlockWeights& w) {
  const std::string b = module + ".block";
  const int inputs = config.decoder_channels(block - 1);
  const int outputs = config.decoder_channels(block);
  read_snake(read, b + ".0", inputs, w.snake);
  w.upsample.inputs = inputs;
  w.upsample.outputs = outputs;
  w.upsample.stride = config.decoder_rates[static_cast<size_t>(block)];
  read.normed(b + ".1", {inputs, outputs, 2 * w.upsample.stride}, w.upsample.weight);
  read.plain(b + ".1.bias", {outputs}, w.upsample.bias);
  int child = 2;
  if (config.noise) {
    read_conv(read, indexed(b, child++) + ".linear", outputs, outputs, 1, w.noise, false);
  }
  read_units(read, b, child, outputs, w.units);
}

void read_encoder_block(WeightReader& read, const std::string& module, int inputs, int stride,
                        EncoderBlockWeights& w) {
  const std::string b = module + ".block";
  int child = 0;
  read_units(read, b, child, inputs, w.units);
  read_snake(read, indexed(b, child++), inputs, w.snake);
  w.stride = stride;
  read_conv(read, indexed(b, child), 2 * inputs, inputs, 2 * stride, w.downsample);
}

void read_quantizers(WeightReader& read, const SnacConfig& config, bool with_in_proj,
                     std::vector<QuantizerWeights>& quantizers) {
  quantizers.resize(static_cast<size_t>(config.levels()));
  for (int level = 0; level < config.levels(); ++level) {
    const std::string q = indexed("quantizer.quantizers", level);
    QuantizerWeights& w = quantizers[static_cast<size_t>(level)];
    w.stride = config.vq_strides[static_cast<size_t>(level)];
    read.plain(q + ".codebook.weight", {config.codebook_size, config.codebook_dim}, w.codebook);
    read_conv(read, q + ".out_proj", config.latent_dim, config.codebook_dim, 1, w.out_proj);
    if (with_in_proj) {
      read_conv(read, q + ".in_proj", config.codebook_dim, config.latent_dim, 1, w.in_proj);
    }
  }
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

Result<SnacDecoderWeights> load_snac_decoder(const std::filesystem::path& folder,
                                             ThreadPool& threads) {
  SnacDecoderWeights w;
  LYRE_ASSIGN_OR_RETURN(w.config, read_snac_config(folder / "config.json"));
  LYRE_ASSIGN_OR_RETURN(const TensorArchive archive, open_checkpoint(folder));
  WeightReader read(archive);
  const SnacConfig& c = w.config;
  read_quantizers(read, c, false, w.quantizers);
  const std::string model = "decoder.model";
  int child = 0;
  read_conv(read, indexed(model, child++), c.latent_dim, 1, kDepthwiseTaps, w.depthwise_in);
  read_conv(read, indexed(model, child++), c.decoder_dim, c.latent_dim, 1, w.pointwise_in);
  const int blocks = static_cast<int>(c.decoder_rates.size());
  w.blocks.resize(c.decoder_rates.size());
  for (int block = 0; block < blocks; ++block) {
    read_decoder_block(read, indexed(model, child++), c, block,
                       w.blocks[static_cast<size_t>(block)]);
  }
  const int last = c.decoder_channels(blocks - 1);
  read_snake(read, indexed(model, child++), last, w.snake_out);
  read_conv(read, indexed(model, child), 1, last, kDepthwiseTaps, w.head);
  LYRE_RETURN_IF_ERROR(read.finish(threads));
  return w;
}

Result<SnacDecoderWeights> load_snac_decoder(const std::filesystem::path& folder) {
  ThreadPool alone(1);
  return load_snac_decoder(folder, alone);
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
  read_conv(read, indexed(model, child++), channels, 1, kDepthwiseTaps, w.conv_in);
  w.blocks.resize(c.encoder_rates.size());
  for (size_t block = 0; block < w.blocks.size(); ++block) {
    read_encoder_block(read, indexed(model, child++), channels, c.encoder_rates[block],
                       w.blocks[block]);
    channels *= 2;
  }
  read_conv(read, indexed(model, child), channels, 1, kDepthwiseTaps, w.depthwise_out);
  read_quantizers(read, c, true, w.quantizers);
  ThreadPool alone(1);
  LYRE_RETURN_IF_ERROR(read.finish(alone));
  return w;
}

}  // namespace lyre
