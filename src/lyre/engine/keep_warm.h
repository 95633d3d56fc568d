#pragma once

#include <functional>

#include "lyre/base/token.h"
#include "lyre/codec/codec.h"
#include "lyre/lm/language_model.h"

namespace lyre {

/// The smallest step that keeps both models warm while nobody speaks: a token, and a
/// frame. To be called on the engine thread with nothing open; `wanted` tells that a request has
/// come: what remains is then left out. What fails is left out too, a real request will tell. A
/// model whose part takes longer than a request should wait for it is not run again.
std::function<void(const std::function<bool()>& wanted)> keep_warm(LanguageModel& language_model,
                                                                   Codec& codec,
                                                                   const CodeLayout& layout);

}  // namespace lyre
