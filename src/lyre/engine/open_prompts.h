#pragma once

#include <memory>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/engine_parts.h"
#include "lyre/text/prompt_family.h"
#include "lyre/text/tokenizer.h"

namespace lyre {

/// Tokenizer, prompt family and voices of a language model folder, as configured.
///
/// The family: the configuration's; else that of the voices file, or of the model's voice.json;
/// else the one whose special tokens the tokenizer has. The voices: the configuration's names; else
/// those of the voices file, of voice.json, of the family, the first that names any. The default
/// voice is taken from the same files in the same order, if it is among the voices; else the first.
/// Sampling defaults: the family's, overridden by voice.json, the voices file, the configuration.
struct VoiceSetup {
  std::shared_ptr<const Tokenizer> tokenizer;
  PromptFamily family;  // with the voices chosen
  SamplingOverrides sampling;
};
Result<VoiceSetup> choose_voice_setup(const EngineConfig& config,
                                      std::shared_ptr<const Tokenizer> tokenizer);
/// The same with the tokenizer.json of the model folder.
Result<VoiceSetup> open_voice_setup(const EngineConfig& config);

/// Binds the setup to a codec's codebook.
Result<SpeechPrompts> bind_prompts(VoiceSetup setup, int codebook_size);

/// For reports and lists.
std::vector<VoiceInfo> voice_infos(const std::vector<Voice>& voices);

}  // namespace lyre
