#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/cpu/page_memory.h"
#include "lyre/lm/cpu/quantize.h"
#include "lyre/lm/cpu/weight_matrix.h"
#include "lyre/lm/llama_weights.h"
#include "lyre/lm/open_language_model.h"

namespace lyre::cpu {

/// Matrices (outputs, inputs) of one layer; norms as fp32 (H,).
struct CpuLayer {
  std::vector<float> input_norm, post_attention_norm;
  WeightMatrix query, key, value, attention_output, gate, up, down;
};

/// The weights as the kernels read them. As stored, the matrices are the mapped files themselves:
/// nothing is copied, and several processes share the memory. As int8 they are made at load, and
/// the files are let go, tensor by tensor, so that both never lie in memory together.
class CpuWeights {
 public:
  static Result<CpuWeights> open(const std::filesystem::path& folder, WeightFormat format,
                                 ThreadPool& threads);

  LlamaConfig config;
  WeightMatrix embedding, output;  // (V, H); the same where tied
  std::vector<CpuLayer> layers;
  std::vector<float> final_norm;  // (H,)
  int64_t parameters = 0;
  int64_t size_bytes = 0;
  std::string description;  // "bf16", "int8 in groups of 128, error 0.6 % rms"

 private:
  std::vector<WeightMatrix*> matrices();  // each that owns memory once
  Status quantize_all(ThreadPool& threads);

  TensorArchive archive_;  // as stored
  PageMemory quantized_;   // int8
};

}  // namespace lyre::cpu
