#include "lyre/engine/device_fit.h"

#include <algorithm>

namespace lyre {
namespace {

/// Matrices of the layers may be fp8, with a float scale for each row; embedding and output stay
/// bf16, norms float.
int64_t weight_bytes(const LanguageModelReport& model, bool fp8) {
  const int64_t hidden = model.hidden;
  const int64_t heads = int64_t{model.heads} * model.head_dim;
  const int64_t qkv = heads + int64_t{2} * model.kv_heads * model.head_dim;
  const int64_t rows = qkv + hidden + int64_t{2} * model.ffn + hidden;
  const int64_t elements = qkv * hidden + hidden * heads + int64_t{3} * model.ffn * hidden;
  const int64_t layer = (fp8 ? elements + 4 * rows : 2 * elements) + 2 * 4 * hidden;
  const int64_t ends = (model.tied_embeddings ? 1 : 2) * int64_t{2} * model.vocabulary * hidden;
  return model.layers * layer + ends + 4 * hidden;
}

/// fp8: a bf16 scale for so many elements of a head.
constexpr int kScaledElements = 16;

int64_t kv_bytes_per_token(const LanguageModelReport& model, bool fp8) {
  const int64_t dim = model.head_dim;
  const int64_t head =
      fp8 ? dim + 2 * ((dim + kScaledElements - 1) / kScaledElements) : int64_t{2} * dim;
  return int64_t{2} * model.layers * model.kv_heads * head;
}

/// Sequences take whole pages.
constexpr int64_t kPageTokens = 64;

int64_t sequences(int64_t rest_bytes, int tokens, const DeviceFit& fit, int64_t stream_bytes) {
  const int64_t paged = (tokens + kPageTokens - 1) / kPageTokens * kPageTokens;
  return rest_bytes / (paged * fit.kv_bytes_per_token + stream_bytes);
}

}  // namespace

std::vector<DeviceFit> device_fits(const LanguageModelReport& model, const CodecReport* codec,
                                   int64_t free_bytes) {
  const int64_t codec_bytes = codec == nullptr ? 0 : codec->weight_bytes;
  const int64_t stream_bytes = codec == nullptr ? 0 : codec->stream_state_bytes;
  std::vector<DeviceFit> fits;
  for (const bool fp8_weights : {false, true}) {
    for (const bool fp8_kv : {false, true}) {
      DeviceFit fit;
      fit.fp8_weights = fp8_weights;
      fit.fp8_kv = fp8_kv;
      fit.weight_bytes = weight_bytes(model, fp8_weights);
      fit.kv_bytes_per_token = kv_bytes_per_token(model, fp8_kv);
      const int64_t rest =
          std::max<int64_t>(0, free_bytes - kDeviceReserveBytes - codec_bytes - fit.weight_bytes);
      fit.kv_tokens = rest / fit.kv_bytes_per_token / kPageTokens * kPageTokens;
      fit.long_sequences = sequences(rest, DeviceFit::kLongTokens, fit, stream_bytes);
      fit.short_sequences = sequences(rest, DeviceFit::kShortTokens, fit, stream_bytes);
      fits.push_back(fit);
    }
  }
  return fits;
}

}  // namespace lyre
