#pragma once

#include <filesystem>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/lm/llama_config.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {

/// Tensors of one layer, as stored: row-major (outputs, inputs), bf16, fp16 or fp32.
struct LlamaLayerWeights {
  TensorView input_norm;           // (H,)
  TensorView query, key, value;    // (heads * D, H), (kv_heads * D, H), (kv_heads * D, H)
  TensorView attention_output;     // (H, heads * D)
  TensorView post_attention_norm;  // (H,)
  TensorView gate, up;             // (F, H)
  TensorView down;                 // (H, F)
};

/// A model folder, opened: sizes, and views into the mapped files, which live as long as this.
struct LlamaWeights {
  LlamaConfig config;
  TensorArchive archive;
  TensorView embedding;  // (V, H)
  std::vector<LlamaLayerWeights> layers;
  TensorView final_norm;  // (H,)
  TensorView output;      // (V, H); the embedding where they are tied

  int64_t parameters() const noexcept;
  int64_t size_bytes() const noexcept;  // tied matrices count once
};

/// Reads config.json and checks every tensor against it. Nothing is copied. Errors name file,
/// tensor, expected and found.
Result<LlamaWeights> open_llama_weights(const std::filesystem::path& folder);

}  // namespace lyre
