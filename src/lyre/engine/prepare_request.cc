#include "lyre/engine/prepare_request.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lyre/base/check.h"
#include "lyre/base/quote.h"
#include "lyre/base/trace.h"
#include "lyre/base/utf8.h"
#include "lyre/lm/sampler.h"
#include "lyre/text/sentence_splitter.h"
#include "lyre/text/speakable_text.h"

namespace lyre {
namespace {

constinit trace::Operation kPrepare("text.prepare", "prompt_tokens", "segments"),
    kSplit("text.split", "bytes"), kTokenize("text.tokenize", "tokens");

Error invalid(std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

Status check_utf8(const char* field, std::string_view text) {
  if (const auto offset = find_invalid_utf8(text)) {
    return invalid(std::string(field) + ": expected UTF-8, found none at byte " +
                   std::to_string(*offset));
  }
  return ok_status();
}

Status check_size(const char* field, std::string_view text, int most_bytes) {
  if (text.size() <= static_cast<size_t>(most_bytes)) return ok_status();
  return invalid(std::string(field) + ": expected at most " + std::to_string(most_bytes) +
                 " bytes, found " + std::to_string(text.size()));
}

Result<std::string> choose_voice(const std::string& wanted, const SpeechPrompts& prompts) {
  const std::string& voice = wanted.empty() ? prompts.default_voice : wanted;
  LYRE_RETURN_IF_ERROR(check_utf8("voice", voice));
  if (prompts.voices.empty()) return voice;
  std::string names;
  for (const VoiceInfo& known : prompts.voices) {
    if (known.name == voice) return voice;
    names += (names.empty() ? "" : ", ") + known.name;
  }
  return invalid("voice: expected one of " + names + ", found " + quote(voice));
}

/// 53 bits: every JSON reader gives such a number back unchanged.
uint64_t random_seed() {
  uint64_t bits = 0;
  LYRE_CHECK(::getentropy(&bits, sizeof bits) == 0);
  return bits >> 11;
}

/// The segments of a text, each as models were trained to read it.
Result<std::vector<std::string>> spoken_segments(std::string_view text, int characters) {
  const trace::Span span(kSplit, static_cast<int64_t>(text.size()));
  LYRE_ASSIGN_OR_RETURN(const std::vector<std::string_view> cut, split_sentences(text, characters));
  std::vector<std::string> segments;
  segments.reserve(cut.size());
  for (const std::string_view segment : cut) {
    if (std::string words = speakable_text(segment); !is_blank(words)) {
      segments.push_back(std::move(words));
    }
  }
  if (segments.empty()) {
    return invalid("text: expected something to speak, found " +
                   std::string(text.empty() ? "an empty text" : "blanks only"));
  }
  return segments;
}

Status append_segment(std::string_view text, std::string_view voice, std::string_view description,
                      const SpeechPrompts& prompts, const SpeechLimits& limits,
                      std::vector<TokenId>& prompt_ids, std::vector<SegmentPlan>& segments) {
  SegmentPlan plan;
  plan.first_id = prompt_ids.size();
  {
    trace::Span span(kTokenize);
    LYRE_RETURN_IF_ERROR(prompts.build(voice, text, description, prompt_ids));
    plan.prompt_tokens = static_cast<int>(prompt_ids.size() - plan.first_id);
    span.set_argument(0, plan.prompt_tokens);
  }
  // Half a sequence for a prompt is far more than the longest segment needs, and leaves speech.
  const int most_prompt_tokens = limits.max_sequence_tokens / 2;
  if (plan.prompt_tokens > most_prompt_tokens) {
    return invalid("text: expected a prompt of at most " + std::to_string(most_prompt_tokens) +
                   " tokens for each sentence, found " + std::to_string(plan.prompt_tokens) +
                   " for " + quote(text, 40));
  }
  for (size_t i = plan.first_id; i < prompt_ids.size(); ++i) {
    const TokenId id = prompt_ids[i];
    if (id < 0 || id >= limits.vocabulary) {
      return Error{ErrorCode::kDataCorrupt, "the tokenizer gives id " + std::to_string(id) +
                                                ", but the model has only " +
                                                std::to_string(limits.vocabulary) + " rows"};
    }
  }
  plan.most_speech_tokens =
      std::min(limits.max_sequence_tokens - plan.prompt_tokens,
               most_plausible_tokens(utf8_code_points(text), limits.tokens_per_second));
  segments.push_back(plan);
  return ok_status();
}

}  // namespace

int most_plausible_tokens(int64_t characters, double tokens_per_second) noexcept {
  constexpr double kSecondsPerCharacter = 0.5, kSeconds = 8.0;
  const double seconds = kSeconds + kSecondsPerCharacter * static_cast<double>(characters);
  const double tokens = std::ceil(seconds * tokens_per_second);
  return static_cast<int>(std::min<double>(tokens, std::numeric_limits<int>::max()));
}

Status prepare_segment(std::string_view segment, std::string_view voice,
                       std::string_view description, const SpeechPrompts& prompts,
                       const SpeechLimits& limits, std::vector<TokenId>& prompt_ids,
                       std::vector<SegmentPlan>& segments) {
  const std::string words = speakable_text(segment);
  if (is_blank(words)) return ok_status();
  const size_t ids_before = prompt_ids.size();
  const Status status =
      append_segment(words, voice, description, prompts, limits, prompt_ids, segments);
  if (!status) prompt_ids.resize(ids_before);
  return status;
}

Result<PreparedRequest> prepare_request(const SynthesisRequest& request, const EngineConfig& config,
                                        const SpeechPrompts& prompts, const SpeechLimits& limits) {
  trace::Span span(kPrepare);
  LYRE_RETURN_IF_ERROR(check_size("text", request.text, config.max_text_bytes));
  LYRE_RETURN_IF_ERROR(check_utf8("text", request.text));
  LYRE_RETURN_IF_ERROR(check_size("description", request.description, config.max_text_bytes));
  LYRE_RETURN_IF_ERROR(check_utf8("description", request.description));

  PreparedRequest prepared;
  LYRE_ASSIGN_OR_RETURN(prepared.voice, choose_voice(request.voice, prompts));
  prepared.sampling = prompts.sampling;
  request.sampling.apply_to(prepared.sampling);
  LYRE_RETURN_IF_ERROR(validate(prepared.sampling));
  if (!request.sampling.seed && !prompts.seeded) prepared.sampling.seed = random_seed();
  prepared.fast_start = request.fast_start.value_or(config.fast_start);
  prepared.warm_up = request.warm_up;
  prepared.max_tokens = request.max_tokens;
  if (request.max_tokens && *request.max_tokens < CodeLayout::kSlots) {
    return invalid("max_tokens: expected at least " + std::to_string(CodeLayout::kSlots) +
                   ", the tokens of one frame of sound, found " +
                   std::to_string(*request.max_tokens));
  }

  if (request.more_text) return prepared;  // SpeechText takes the text

  LYRE_ASSIGN_OR_RETURN(const std::vector<std::string> segments,
                        spoken_segments(request.text, config.segment_characters));
  prepared.segments.reserve(segments.size());
  for (const std::string& segment : segments) {
    LYRE_RETURN_IF_ERROR(append_segment(segment, prepared.voice, request.description, prompts,
                                        limits, prepared.prompt_ids, prepared.segments));
  }
  span.set_argument(0, static_cast<int64_t>(prepared.prompt_ids.size()));
  span.set_argument(1, static_cast<int64_t>(segments.size()));
  return prepared;
}

}  // namespace lyre
