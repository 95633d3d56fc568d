#pragma once

#include <memory>

#include "lyre/base/result.h"
#include "lyre/lm/language_model.h"
#include "lyre/lm/open_language_model.h"

namespace lyre {

/// kUnavailable in a build without CUDA.
Result<std::unique_ptr<LanguageModel>> open_cuda_language_model(
    const LanguageModelOptions& options);

}  // namespace lyre
