#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// config.json of a SNAC folder. Every size of the codec comes from here.
struct SnacConfig {
  int sampling_rate_hz = 0;
  int encoder_dim =
      0;  // channels after the first convolution of the encoder; doubled by each block
  std::vector<int> encoder_rates;  // stride of each encoder block
  int latent_dim = 0;              // channels between encoder, quantizer and decoder
  int decoder_dim = 0;             // channels after the first convolutions; halved by each block
  std::vector<int> decoder_rates;  // stride of each decoder block
  int codebook_size = 0;
  int codebook_dim = 0;
  std::vector<int> vq_strides;  // latents that one code of each level spans, coarse to fine
  bool noise = true;            // decoder blocks have a NoiseBlock

  int levels() const { return static_cast<int>(vq_strides.size()); }
  int latents_per_frame() const { return vq_strides.front(); }
  int samples_per_latent() const;  // the hop: 512 for the 24 kHz model
  int samples_per_frame() const { return latents_per_frame() * samples_per_latent(); }
  /// Channels that come out of decoder block `block`; block -1: what goes into the first.
  int decoder_channels(int block) const { return decoder_dim >> (block + 1); }
  bool operator==(const SnacConfig&) const = default;
};

/// Errors name the field: kDataCorrupt for what no SNAC can be, kInvalidArgument for models that
/// are not supported (local attention, dense convolutions, levels that are no 1:2:4 tree). `origin`
/// is the file name for messages.
Result<SnacConfig> parse_snac_config(std::string_view json, std::string_view origin);

Result<SnacConfig> read_snac_config(const std::filesystem::path& file);

}  // namespace lyre
