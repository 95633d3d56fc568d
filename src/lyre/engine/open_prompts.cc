#include "lyre/engine/open_prompts.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "lyre/base/trace.h"
#include "lyre/lm/sampler.h"

namespace lyre {
namespace {

constinit trace::Operation kOpenVoices("open.voices"), kBindPrompts("open.prompts");

/// Of the voices file, the model's voice.json, the family: the first has precedence.
using VoiceLists = std::array<const std::vector<Voice>*, 3>;

/// Lays the settings that `upper` names over `lower`.
void lay_over(SamplingOverrides& lower, const SamplingOverrides& upper) {
  const auto one = [](auto& low, const auto& up) {
    if (up) low = up;
  };
  one(lower.temperature, upper.temperature);
  one(lower.top_p, upper.top_p);
  one(lower.top_k, upper.top_k);
  one(lower.min_p, upper.min_p);
  one(lower.repetition_penalty, upper.repetition_penalty);
  one(lower.seed, upper.seed);
  one(lower.legal_slots, upper.legal_slots);
}

Result<VoiceFile> read_model_voice_file(const std::filesystem::path& model) {
  const std::filesystem::path file = model / "voice.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return VoiceFile{};
  return load_voice_file(file);
}

Result<PromptFamily> choose_family(const EngineConfig& config, const VoiceFile& given,
                                   const VoiceFile& model, const Tokenizer& tokenizer) {
  for (const std::string* name : {&config.family, &given.family, &model.family}) {
    if (!name->empty()) return load_family(*name);
  }
  return detect_family(tokenizer);
}

/// The configuration has names only; what is known of them is kept.
Result<std::vector<Voice>> named_voices(const std::vector<std::string>& names,
                                        const VoiceLists& known_lists) {
  std::vector<Voice> voices;
  for (const std::string& name : names) {
    if (const Status status = validate_voice_name(name); !status) {
      return Error{ErrorCode::kInvalidArgument, "voices: " + status.error().message};
    }
    Voice voice{.name = name, .description = {}, .language = {}, .gender = {}};
    for (const auto* known : known_lists) {
      const auto found = std::find_if(known->begin(), known->end(),
                                      [&](const Voice& v) { return v.name == name; });
      if (found == known->end()) continue;
      voice = *found;
      break;
    }
    voices.push_back(std::move(voice));
  }
  return voices;
}

std::string choose_default(const std::vector<Voice>& voices,
                           const std::array<const std::string*, 3>& wishes) {
  for (const std::string* wish : wishes) {
    const bool known = std::any_of(voices.begin(), voices.end(),
                                   [&](const Voice& voice) { return voice.name == *wish; });
    if (known || (voices.empty() && !wish->empty())) return *wish;
  }
  return voices.empty() ? std::string() : voices.front().name;
}

}  // namespace

Result<VoiceSetup> open_voice_setup(const EngineConfig& config) {
  LYRE_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::load(config.model / "tokenizer.json"));
  return choose_voice_setup(config, std::make_shared<const Tokenizer>(std::move(tokenizer)));
}

Result<VoiceSetup> choose_voice_setup(const EngineConfig& config,
                                      std::shared_ptr<const Tokenizer> tokenizer) {
  const trace::Span span(kOpenVoices);
  LYRE_ASSIGN_OR_RETURN(const VoiceFile model, read_model_voice_file(config.model));
  VoiceFile given;
  if (!config.voices_file.empty()) {
    LYRE_ASSIGN_OR_RETURN(given, load_voice_file(config.voices_file));
  }
  LYRE_ASSIGN_OR_RETURN(PromptFamily family, choose_family(config, given, model, *tokenizer));

  const VoiceLists lists = {&given.voices, &model.voices, &family.voices};
  std::vector<Voice> voices;
  if (!config.voices.empty()) {
    LYRE_ASSIGN_OR_RETURN(voices, named_voices(config.voices, lists));
  } else {
    for (const auto* list : lists) {
      if (voices.empty()) voices = *list;
    }
  }
  // Whoever names the voices in the settings means the first of them, unless his own file says
  // else.
  const std::string none;
  const bool listed = !config.voices.empty();
  family.default_voice =
      choose_default(voices, {&given.default_voice, listed ? &none : &model.default_voice,
                              listed ? &none : &family.default_voice});
  family.voices = std::move(voices);

  VoiceSetup setup;
  setup.sampling = family.sampling;
  lay_over(setup.sampling, model.sampling);
  lay_over(setup.sampling, given.sampling);
  lay_over(setup.sampling, config.sampling);
  setup.tokenizer = std::move(tokenizer);
  setup.family = std::move(family);
  return setup;
}

Result<SpeechPrompts> bind_prompts(VoiceSetup setup, int codebook_size) {
  const trace::Span span(kBindPrompts);
  LYRE_ASSIGN_OR_RETURN(PromptBuilder bound,
                        PromptBuilder::bind(setup.family, *setup.tokenizer, codebook_size));
  SpeechPrompts prompts;
  prompts.family = setup.family.name;
  prompts.layout = bound.layout();
  setup.sampling.apply_to(prompts.sampling);
  LYRE_RETURN_IF_ERROR(validate(prompts.sampling));
  prompts.seeded = setup.sampling.seed.has_value();
  prompts.voices = voice_infos(setup.family.voices);
  prompts.default_voice = setup.family.default_voice;
  prompts.build = [tokenizer = std::move(setup.tokenizer), builder = std::move(bound)](
                      std::string_view voice, std::string_view text, std::string_view description,
                      std::vector<TokenId>& out) {
    return builder.build(voice, text, description, out);
  };
  return prompts;
}

std::vector<VoiceInfo> voice_infos(const std::vector<Voice>& voices) {
  std::vector<VoiceInfo> infos;
  for (const Voice& voice : voices) {
    infos.push_back({voice.name, voice.description, voice.language, voice.gender});
  }
  return infos;
}

}  // namespace lyre
