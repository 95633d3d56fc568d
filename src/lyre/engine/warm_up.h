#pragma once

#include "lyre/base/result.h"
#include "lyre/base/token.h"
#include "lyre/codec/codec.h"
#include "lyre/lm/language_model.h"

namespace lyre {

/// Runs a prompt, a few decodes and two frames with a preview through both models, so that the
/// first request finds weights in memory, caches filled and threads started. Fails if a model does:
/// what cannot speak this is not ready.
Status warm_up(LanguageModel& language_model, Codec& codec, const CodeLayout& layout);

}  // namespace lyre
