#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/philox.h"
#include "lyre/base/token.h"
#include "lyre/lm/llama_config.h"
#include "lyre/tensor/tensor.h"
#include "support/temp_folder.h"

namespace lyre::test {

/// Standard normal numbers by (seed, index).
inline std::vector<float> normal_values(size_t count, uint32_t seed, float scale = 1.0f) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    const auto words = philox4x32({static_cast<uint32_t>(i), 1, 2, 3}, {seed, 0});
    values[i] = scale * normal_from_bits(words[0], words[1])[0];
  }
  return values;
}

/// float -> bf16, rounded to nearest even.
inline uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

/// float -> fp16 by truncation; values outside the normal range become zero.
inline uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const int exponent = static_cast<int>(bits >> 23 & 0xFF) - 127 + 15;
  if (exponent < 1 || exponent > 30) return 0;
  return static_cast<uint16_t>((bits >> 16 & 0x8000u) | static_cast<uint32_t>(exponent) << 10 |
                               (bits >> 13 & 0x3FFu));
}

/// The bytes of `values` in a dtype.
inline std::string to_bytes(const std::vector<float>& values, DType dtype) {
  std::string bytes(values.size() * static_cast<size_t>(dtype_size_bytes(dtype)), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(&bytes[i * 4], &values[i], 4);
    } else {
      const uint16_t bits = dtype == DType::kBF16 ? to_bf16(values[i]) : to_f16(values[i]);
      std::memcpy(&bytes[i * 2], &bits, 2);
    }
  }
  return bytes;
}

inline std::string config_json(const LlamaConfig& c) {
  const auto field = [](const char* name, int64_t value) {
    return "\"" + std::string(name) + "\": " + std::to_string(value) + ", ";
  };
  return "{" + field("vocab_size", c.vocabulary) + field("hidden_size", c.hidden) +
         field("num_hidden_layers", c.layers) + field("num_attention_heads", c.heads) +
         field("num_key_value_heads", c.kv_heads) + field("head_dim", c.head_dim) +
         field("intermediate_size", c.ffn) + field("max_position_embeddings", c.max_positions) +
         "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"tie_word_embeddings\": " +
         (c.tied_embeddings ? "true" : "false") + "}";
}

/// Writes config.json and model.safetensors with random weights: matrices in `dtype`, scaled so
/// that activations keep their size, norms in fp32.
inline void write_random_model(const TempFolder& folder, const LlamaConfig& c, DType dtype,
                               uint32_t seed = 1) {
  std::string header = "{", data;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    const bool norm = shape.size() == 1;
    const int64_t columns = norm ? 1 : shape[1];
    const float scale = name.find("embed") != std::string::npos
                            ? 1.0f
                            : 1.0f / std::sqrt(static_cast<float>(columns));
    std::vector<float> values =
        normal_values(static_cast<size_t>(shape[0] * columns), ++seed, scale);
    if (norm) {
      for (float& value : values) value = 1.0f + 0.1f * value;
    }
    const std::string bytes = to_bytes(values, norm ? DType::kF32 : dtype);
    const char* type = norm || dtype == DType::kF32 ? "F32" : dtype == DType::kF16 ? "F16" : "BF16";
    header += (header.size() > 1 ? ", \"" : "\"") + name + "\": {\"dtype\": \"" + type +
              "\", \"shape\": [" + std::to_string(shape[0]) +
              (norm ? "" : ", " + std::to_string(columns)) + "], \"data_offsets\": [" +
              std::to_string(data.size()) + ", " + std::to_string(data.size() + bytes.size()) +
              "]}";
    data += bytes;
  };
  const int64_t hidden = c.hidden;
  add("model.embed_tokens.weight", {c.vocabulary, hidden});
  for (int l = 0; l < c.layers; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".";
    add(layer + "input_layernorm.weight", {hidden});
    add(layer + "self_attn.q_proj.weight", {c.query_rows(), hidden});
    add(layer + "self_attn.k_proj.weight", {c.kv_rows(), hidden});
    add(layer + "self_attn.v_proj.weight", {c.kv_rows(), hidden});
    add(layer + "self_attn.o_proj.weight", {hidden, c.query_rows()});
    add(layer + "post_attention_layernorm.weight", {hidden});
    add(layer + "mlp.gate_proj.weight", {c.ffn, hidden});
    add(layer + "mlp.up_proj.weight", {c.ffn, hidden});
    add(layer + "mlp.down_proj.weight", {hidden, c.ffn});
  }
  add("model.norm.weight", {hidden});
  if (!c.tied_embeddings) add("lm_head.weight", {c.vocabulary, hidden});
  header += "}";
  header += std::string((8 - header.size() % 8) % 8, ' ');
  std::string length(8, '\0');
  const uint64_t bytes = header.size();
  std::memcpy(length.data(), &bytes, 8);
  folder.write("config.json", config_json(c));
  folder.write("model.safetensors", length + header + data);
}

/// A model for tests that need any: odd sizes, seven slots of eight codes, and a stop id, 63.
inline LlamaConfig small_config() {
  LlamaConfig config;
  config.vocabulary = 64;
  config.hidden = 40;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 10;
  config.ffn = 72;
  config.max_positions = 4096;
  config.tied_embeddings = true;
  return config;
}

inline CodeLayout small_layout() { return {.first_code = 5, .codebook_size = 8, .stop_ids = {63}}; }

}  // namespace lyre::test
