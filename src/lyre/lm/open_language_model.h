#pragma once

#include <filesystem>
#include <memory>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/language_model.h"

namespace lyre {

enum class LanguageModelBackend : uint8_t { kReference, kCpu, kCuda };
/// kInt8: the CPU backend; kFp8 (e4m3, a scale for each row): the CUDA backend.
enum class WeightFormat : uint8_t { kAsStored, kInt8, kFp8 };
/// What keys and values are kept in. kDefault: fp16 on the CPU, bf16 on a GPU; kFp8 (e4m3, a scale
/// for each head of each token) and kBf16: the CUDA backend; kF16 and kF32: the CPU backend. The
/// reference always keeps fp32.
enum class KvFormat : uint8_t { kDefault, kF16, kF32, kBf16, kFp8 };

struct LanguageModelOptions {
  std::filesystem::path folder;  // Hugging Face folder
  LanguageModelBackend backend = LanguageModelBackend::kCpu;
  WeightFormat weights = WeightFormat::kAsStored;
  int max_sequences = 16;
  int64_t kv_tokens =
      0;  // size of the KV pool over all sequences; 0: max_sequences * max_sequence_tokens
  int max_sequence_tokens = 4096;
  int max_batch_tokens = 256;
  KvFormat kv = KvFormat::kDefault;
  int device = 0;                           // index of the GPU; the CUDA backend only
  std::filesystem::path cache_folder = {};  // for converted weights, see WeightCache; empty: none
};

/// Opens the backend chosen; the pool must outlive the model. A backend that is not built returns
/// kUnavailable.
Result<std::unique_ptr<LanguageModel>> open_language_model(const LanguageModelOptions& options,
                                                           ThreadPool& threads);

}  // namespace lyre
