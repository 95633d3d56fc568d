#pragma once

#include <memory>

#include "lyre/codec/codec.h"
#include "lyre/codec/snac_weights.h"

namespace lyre {

/// The oracle of streaming: decodes the whole stream again on every push and hands out what the
/// receptive field, computed from the config, says is final. Shares nothing with the streaming
/// backend but the definition of the model. Slow: quadratic in the length of the speech.
std::unique_ptr<Codec> make_reference_codec(SnacDecoderWeights weights, int max_streams,
                                            int most_frames_per_push);

}  // namespace lyre
