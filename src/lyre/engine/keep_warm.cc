#include "lyre/engine/keep_warm.h"

#include <vector>

#include "lyre/base/clock.h"
#include "lyre/base/log.h"
#include "lyre/codec/code_frame.h"

namespace lyre {
namespace {

// A request that arrives in the midst of a part waits for its end.
constexpr double kMostMs = 20;

class KeepWarm {
 public:
  KeepWarm(LanguageModel& language_model, Codec& codec, const CodeLayout& layout)
      : language_model_(language_model), codec_(codec), layout_(layout) {}

  void operator()(const std::function<bool()>& wanted) {
    if (wanted()) return;
    if (language_model_fits_) language_model_fits_ = fits("language model", [&] { speak_token(); });
    if (wanted()) return;
    if (codec_fits_) codec_fits_ = fits("codec", [&] { speak_frame(); });
  }

 private:
  template <class Part>
  static bool fits(const char* what, Part&& part) {
    const TimePoint start = Clock::now();
    part();
    const double ms = milliseconds_since(start);
    if (ms <= kMostMs) return true;
    log_info("keep-warm leaves a model out whose step takes long",
             {{"model", what}, {"step_ms", ms}, {"most_ms", kMostMs}});
    return false;
  }

  void speak_token() {
    SequenceOptions options;
    options.layout = layout_;
    options.max_tokens = 2;
    const auto sequence = language_model_.open(options);
    if (!sequence) return;
    const TokenId prompt = layout_.first_code;
    Slice slice;
    slice.sequence = *sequence;
    slice.prompt = {&prompt, 1};
    SliceResult result;
    const Status status = language_model_.step({&slice, 1}, {&result, 1});
    static_cast<void>(status);
    language_model_.close(*sequence);
  }

  void speak_frame() {
    const auto stream = codec_.open({.noise_seed = 0, .noise = true});
    if (!stream) return;
    const CodeFrame frame;
    CodecWork work;
    work.stream = *stream;
    work.frames = {&frame, 1};
    PcmSpan pcm;
    const Status status = codec_.push({&work, 1}, {&pcm, 1});
    static_cast<void>(status);
    codec_.close(*stream);
  }

  LanguageModel& language_model_;
  Codec& codec_;
  const CodeLayout& layout_;
  bool language_model_fits_ = true, codec_fits_ = true;
};

}  // namespace

std::function<void(const std::function<bool()>& wanted)> keep_warm(LanguageModel& language_model,
                                                                   Codec& codec,
                                                                   const CodeLayout& layout) {
  return KeepWarm(language_model, codec, layout);
}

}  // namespace lyre
