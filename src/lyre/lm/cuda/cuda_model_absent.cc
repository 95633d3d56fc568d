#include "lyre/lm/cuda/cuda_model.h"

namespace lyre {

Result<std::unique_ptr<LanguageModel>> open_cuda_language_model(const LanguageModelOptions&,
                                                                ThreadPool&) {
  return Error{ErrorCode::kUnavailable, "language model: this build has no CUDA backend"};
}

}  // namespace lyre
