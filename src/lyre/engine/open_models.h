#pragma once

#include <memory>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/codec/codec.h"
#include "lyre/engine/engine.h"
#include "lyre/lm/language_model.h"

namespace lyre {

/// The backends that a configuration asks for, sized for it.
Result<std::unique_ptr<LanguageModel>> open_configured_model(const EngineConfig& config,
                                                             ThreadPool& threads);
Result<std::unique_ptr<Codec>> open_configured_codec(const EngineConfig& config,
                                                     ThreadPool& threads);

}  // namespace lyre
