#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/cpu/page_memory.h"
#include "lyre/lm/cpu/quantize.h"
#include "lyre/lm/cpu/weight_matrix.h"
#include "lyre/lm/llama_weights.h"
#include "lyre/lm/open_language_model.h"
#include "lyre/tensor/weight_cache.h"

namespace lyre::cpu {

/// Matrices (outputs, inputs) of one layer; norms as fp32 (H,).
struct CpuLayer {
  std::vector<float> input_norm, post_attention_norm;
  WeightMatrix query, key, value, attention_output, gate, up, down;
};

/// The weights as the kernels read them. As stored, the matrices are the mapped files themselves:
/// nothing is copied, and several processes share the memory. As int8 they are made at load, and
/// the files are let go, tensor by tensor, so that both never lie in memory together; with a cache,
/// they are made once, stored while the model is in use already, and mapped from then on.
class CpuWeights {
 public:
  static Result<CpuWeights> open(const std::filesystem::path& folder, WeightFormat format,
                                 const WeightCache& cache, ThreadPool& threads);

  /// Parts of mapped files that hold the matrices; none if they were made at load.
  std::vector<std::span<const std::byte>> mapped_ranges() const;

  LlamaConfig config;
  WeightMatrix embedding, output;  // (V, H); the same where tied
  std::vector<CpuLayer> layers;
  std::vector<float> final_norm;  // (H,)
  int64_t parameters = 0;
  int64_t size_bytes = 0;
  std::string description;  // "bf16", "int8 in groups of 128, error 0.6 % rms"

 private:
  struct NamedMatrix {
    std::string name;
    WeightMatrix* matrix = nullptr;
  };
  struct NamedNorm {
    std::string name;
    std::vector<float>* norm = nullptr;
  };
  std::vector<NamedMatrix> matrices();  // each that owns memory once
  std::vector<NamedNorm> norms();
  Status take_stored(const LlamaWeights& stored);
  Status quantize_all(ThreadPool& threads);
  Status take_int8(const TensorArchive& archive);
  void store_int8(const WeightCache& cache, const ContentHash& key);

  TensorArchive archive_;  // as stored, or int8 of the cache
  PageMemory quantized_;   // int8 made at load
  std::jthread storing_;   // reads the above
};

}  // namespace lyre::cpu
