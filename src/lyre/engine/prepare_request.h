#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/engine/engine_parts.h"

namespace lyre {

/// One prompt and the speech that may follow it.
struct SegmentPlan {
  size_t first_id = 0;  // in PreparedRequest::prompt_ids
  int prompt_tokens = 0;
  int most_speech_tokens = 0;
};

/// A request that was checked and tokenised: all that the engine thread needs.
struct PreparedRequest {
  std::string voice;
  SamplingParams sampling;  // its seed is the request's
  bool fast_start = false;
  bool warm_up = false;           // not counted, no word in the log
  std::optional<int> max_tokens;  // over all segments
  std::vector<TokenId> prompt_ids;
  std::vector<SegmentPlan> segments;  // at least one, or none yet if more text follows
};

/// Limits of the models, constant.
struct SpeechLimits {
  int max_sequence_tokens = 0;
  int vocabulary = 0;
  double tokens_per_second = 0;  // of speech: 82.03 for the 24 kHz codec
};

/// Speech tokens that a segment of so many characters (code points) can need at the very most: half
/// a second a character, which is a third of the speed of slow speech, and eight seconds for tags
/// and pauses. A model that goes on longer has lost the thread and would babble up to the limit of
/// its sequence.
int most_plausible_tokens(int64_t characters, double tokens_per_second) noexcept;

/// Checks a request, cuts its text into segments and builds their prompts. Any thread. Errors are
/// kInvalidArgument, begin with the name of the field, and say what was expected and found.
Result<PreparedRequest> prepare_request(const SynthesisRequest& request, const EngineConfig& config,
                                        const SpeechPrompts& prompts, const SpeechLimits& limits);

/// Appends the prompt of one segment of text, nothing if it has nothing to speak.
Status prepare_segment(std::string_view segment, std::string_view voice,
                       std::string_view description, const SpeechPrompts& prompts,
                       const SpeechLimits& limits, std::vector<TokenId>& prompt_ids,
                       std::vector<SegmentPlan>& segments);

}  // namespace lyre
