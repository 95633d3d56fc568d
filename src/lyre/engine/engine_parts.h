#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/thread_pool.h"
#include "lyre/base/token.h"
#include "lyre/codec/codec.h"
#include "lyre/engine/engine.h"
#include "lyre/lm/language_model.h"

namespace lyre {

/// What the engine must know of the text side: how words become prompt ids, and whose voices there
/// are. Immutable.
struct SpeechPrompts {
  std::string family;
  CodeLayout layout;
  SamplingParams sampling;        // defaults: family, model's voice file, configuration
  bool seeded = false;            // the defaults name a seed: requests without one use it
  std::vector<VoiceInfo> voices;  // empty: any name is good
  std::string default_voice;
  /// Appends the ids of one prompt. Any thread.
  std::function<Status(std::string_view voice, std::string_view text, std::string_view description,
                       std::vector<TokenId>& out)>
      build;
};

/// When the next segment of a request is begun before the present one has ended: as soon as a
/// listener who has heard `after` of a segment has less than `lead_below` in hand, for he would
/// notice a late beginning. Others have time enough: a segment needs some 30 steps to its first
/// samples, a third of a second even if speech is made only as fast as it is heard.
struct LookaheadPolicy {
  std::chrono::milliseconds after{2000};
  std::chrono::milliseconds lead_below{1000};
};

/// Everything that an engine is made of, open already.
struct EngineParts {
  std::string model_name;
  std::string device;                   // name of the GPU; empty: none
  std::unique_ptr<ThreadPool> threads;  // the models run on it; may be empty for doubles
  std::unique_ptr<LanguageModel> language_model;
  std::unique_ptr<Codec> codec;
  SpeechPrompts prompts;
  LookaheadPolicy lookahead;
};

}  // namespace lyre
