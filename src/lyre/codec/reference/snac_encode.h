#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "lyre/codec/code_frame.h"
#include "lyre/codec/reference/snac_layers.h"
#include "lyre/codec/snac_weights.h"

namespace lyre::reference {

/// Sees the output of a stage: "0", "1", ... as the original numbers the modules of its encoder,
/// and "level.K.z_e", what level K looks up in its codebook.
using EncodeTap = std::function<void(std::string_view stage, const Signal& output)>;

/// Speech to codes, the whole utterance at once. Zeros are appended up to a whole frame, as the
/// original does.
std::vector<CodeFrame> encode(const SnacEncoderWeights& w, std::span<const float> pcm,
                              const EncodeTap& tap = nullptr);

/// The residual quantizer alone: latents to codes. z: (latent_dim, whole frames).
std::vector<CodeFrame> quantize(const SnacEncoderWeights& w, Signal z,
                                const EncodeTap& tap = nullptr);

}  // namespace lyre::reference
