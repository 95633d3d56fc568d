#pragma once

#include <cstdlib>
#include <memory>
#include <string_view>

#include "gpu/need_gpu.h"
#include "lyre/base/check.h"
#include "lyre/lm/open_language_model.h"

namespace lyre::test {

/// LYRE_TEST_BACKEND=cpu runs the tests of a whole model with the CPU backend, where there is no
/// GPU: it tries the tests, not the CUDA backend.
inline bool tries_cpu() {
  const char* backend = std::getenv("LYRE_TEST_BACKEND");
  return backend != nullptr && std::string_view(backend) == "cpu";
}

#define LYRE_NEED_MODEL_BACKEND() \
  if (!lyre::test::tries_cpu()) LYRE_NEED_GPU()

/// What a model keeps its numbers in, and how far its logits may then lie from those of fp32 over
/// the stored weights.
struct ModelFormat {
  const char* name;
  WeightFormat weights;
  KvFormat kv;
  double tolerance;  // of each logit, relative to the root mean square of all
  double snr_db;     // least signal to error ratio over all logits
};
// bf16: weights as stored; activations, keys and values are rounded to 8 bits before each product,
// 2^-9 each time, and two to ten layers add up as independent errors: about 1 % in all, the worst
// of some thousand logits about four times that. fp8: weights (or keys and values) are rounded to 4
// bits, 2^-5 each time; random and small models average less out than large trained ones.
inline constexpr ModelFormat kBf16 = {"bf16", WeightFormat::kAsStored, KvFormat::kDefault, 8e-2,
                                      32};
inline constexpr ModelFormat kFp8Weights = {"fp8", WeightFormat::kFp8, KvFormat::kDefault, 6e-1,
                                            14};
inline constexpr ModelFormat kFp8Kv = {"fp8_kv", WeightFormat::kAsStored, KvFormat::kFp8, 4e-1, 17};
inline constexpr ModelFormat kModelFormats[] = {kBf16, kFp8Weights, kFp8Kv};

inline bool serves(const ModelFormat& format) {
  return !tries_cpu() || (format.weights == WeightFormat::kAsStored && format.kv != KvFormat::kFp8);
}

inline Result<std::unique_ptr<LanguageModel>> open_under_test(LanguageModelOptions options,
                                                              const ModelFormat& format,
                                                              ThreadPool& threads) {
  options.backend = tries_cpu() ? LanguageModelBackend::kCpu : LanguageModelBackend::kCuda;
  options.weights = format.weights;
  options.kv = format.kv;
  return open_language_model(options, threads);
}

}  // namespace lyre::test
