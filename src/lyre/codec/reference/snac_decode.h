#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "lyre/codec/code_frame.h"
#include "lyre/codec/reference/snac_layers.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::reference {

/// Noise of one block, steps 0 ... out.size() - 1.
using NoiseInput = std::function<void(int block, std::span<float> out)>;

/// Sees the output of a stage: "z_q", then "0", "1", ... as the original numbers the modules of its
/// decoder (0 depthwise, 1 pointwise, 2.. blocks, then Snake, head, tanh).
using Tap = std::function<void(std::string_view stage, const Signal& output)>;

/// Codes to latents: codebook row, out_proj, repeated by the level's stride, summed over levels.
Signal latents_of(const SnacDecoderWeights& w, std::span<const CodeFrame> frames);

/// The whole utterance at once. Codes must be in range. noise: null for zeros.
/// Returns frames.size() * samples_per_frame samples.
std::vector<float> decode(const SnacDecoderWeights& w, std::span<const CodeFrame> frames,
                          const NoiseInput& noise, const Tap& tap = nullptr);

}  // namespace lyre::reference
