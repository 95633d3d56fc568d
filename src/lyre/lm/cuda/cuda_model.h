#pragma once

#include <memory>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/language_model.h"
#include "lyre/lm/open_language_model.h"

namespace lyre {

/// The backend for GPUs: bf16 or e4m3 weights, keys and values in pages on the device, drawing on
/// the device, several tokens a step without the host. kUnavailable in a build without CUDA.
///
/// A sequence's tokens are the same alone and in company as long as a step has at most 8 tokens,
/// prompts included; beyond that products come from cuBLASLt, whose rounding depends on how many
/// tokens there are, and a draw that was close to a border may fall to the other side.
Result<std::unique_ptr<LanguageModel>> open_cuda_language_model(const LanguageModelOptions& options,
                                                                ThreadPool& threads);

}  // namespace lyre
