#include "lyre/lm/open_language_model.h"

#include <utility>

#include "lyre/lm/cpu/cpu_model.h"
#include "lyre/lm/cuda/cuda_model.h"
#include "lyre/lm/reference/reference_model.h"

namespace lyre {
namespace {

template <class Model>
Result<std::unique_ptr<LanguageModel>> as_language_model(Result<std::unique_ptr<Model>> model) {
  if (!model) return std::move(model).error();
  return std::unique_ptr<LanguageModel>(*std::move(model));
}

}  // namespace

Result<std::unique_ptr<LanguageModel>> open_language_model(const LanguageModelOptions& options,
                                                           ThreadPool& threads) {
  switch (options.backend) {
    case LanguageModelBackend::kReference:
      if (options.weights != WeightFormat::kAsStored) {
        return Error{ErrorCode::kInvalidArgument,
                     "weights: the reference backend computes with the weights as stored"};
      }
      return as_language_model(ReferenceModel::open(options));
    case LanguageModelBackend::kCpu:
      return as_language_model(CpuModel::open(options, threads));
    case LanguageModelBackend::kCuda:
      return open_cuda_language_model(options, threads);
  }
  return Error{ErrorCode::kInvalidArgument, "backend: unknown"};
}

}  // namespace lyre
