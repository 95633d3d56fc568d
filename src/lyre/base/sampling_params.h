#pragma once

#include <cstdint>
#include <optional>

namespace lyre {

/// How the next token is drawn. Order: repetition penalty, temperature, top-k, top-p, min-p, as
/// Hugging Face applies them.
struct SamplingParams {
  float temperature = 0.6f;         // 0: greedy
  float top_p = 0.9f;               // (0, 1]; 1: off
  int top_k = 0;                    // 0: off
  float min_p = 0.0f;               // [0, 1); 0: off
  float repetition_penalty = 1.1f;  // > 0; 1: off. Over prompt and output ids; positive logits
                                    // divided, negative multiplied
  uint64_t seed = 0;
  bool legal_slots =
      true;  // draw only from the codes of the current slot (and the stop ids at slot 0)
};

/// The settings that a request, a voice family or a configuration names; what is empty is taken
/// from the layer below.
struct SamplingOverrides {
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<uint64_t> seed;
  std::optional<bool> legal_slots;

  void apply_to(SamplingParams& params) const {
    if (temperature) params.temperature = *temperature;
    if (top_p) params.top_p = *top_p;
    if (top_k) params.top_k = *top_k;
    if (min_p) params.min_p = *min_p;
    if (repetition_penalty) params.repetition_penalty = *repetition_penalty;
    if (seed) params.seed = *seed;
    if (legal_slots) params.legal_slots = *legal_slots;
  }
};

}  // namespace lyre
