#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

enum class RopeType : uint8_t {
  kDefault,
  kLinear,  // every frequency divided by `factor`
  kLlama3,  // long wavelengths divided by `factor`, short ones kept, a ramp between
};

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  double original_max_positions = 8192.0;
};

/// Sizes and constants of a Llama model, as its config.json states them. A value.
struct LlamaConfig {
  int vocabulary = 0;  // V, rows of the embedding and of the output matrix
  int hidden = 0;      // H
  int layers = 0;      // L
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;  // D; heads * head_dim need not equal hidden
  int ffn = 0;       // F
  int max_positions = 0;
  double rms_norm_eps = 0;
  RopeConfig rope;
  bool tied_embeddings = false;  // the output matrix is the embedding

  int query_rows() const noexcept { return heads * head_dim; }
  int kv_rows() const noexcept { return kv_heads * head_dim; }
};

/// Reads `folder`/config.json. Errors: kNotFound; kDataCorrupt for what is no JSON or lacks a
/// field; kInvalidArgument for a model that is not a Llama or needs a feature that is not there
/// (attention or MLP biases, another RoPE scaling, quantised tensors).
Result<LlamaConfig> read_llama_config(const std::filesystem::path& folder);

/// The same from text; `file` names it in messages.
Result<LlamaConfig> parse_llama_config(std::string_view json, std::string_view file);

/// Angle per position of each of the head_dim / 2 pairs, in float as the published implementation
/// computes it (transformers, modeling_rope_utils.py): pair i joins elements i and i + head_dim/2.
std::vector<float> rope_frequencies(const LlamaConfig& config);

}  // namespace lyre
