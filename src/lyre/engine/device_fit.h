#pragma once

#include <cstdint>
#include <vector>

#include "lyre/engine/inspect.h"

namespace lyre {

/// What fits into the memory of a GPU beside the weights, in one combination of number formats.
struct DeviceFit {
  bool fp8_weights = false;
  bool fp8_kv = false;
  int64_t weight_bytes = 0;  // language model
  int64_t kv_bytes_per_token = 0;
  int64_t kv_tokens = 0;  // that fit into the rest, of any number of sequences; 0: not even weights
  int64_t long_sequences = 0;   // of kLongTokens, with the codec's state of each
  int64_t short_sequences = 0;  // of kShortTokens

  static constexpr int kLongTokens = 4096;   // the default of max_sequence_tokens
  static constexpr int kShortTokens = 1000;  // a sentence or two
};

/// Kept back: context and code of CUDA, graphs, activations.
inline constexpr int64_t kDeviceReserveBytes = int64_t{1} << 30;

/// Reckons from the shapes in the report, nothing is loaded: bf16 and fp8 weights, each with bf16
/// and fp8 keys and values. free_bytes: of the GPU now; codec: null where none is known.
std::vector<DeviceFit> device_fits(const LanguageModelReport& model, const CodecReport* codec,
                                   int64_t free_bytes);

}  // namespace lyre
