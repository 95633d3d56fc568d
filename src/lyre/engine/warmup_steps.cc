#include "lyre/engine/warmup_steps.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "lyre/audio/pcm_channel.h"
#include "lyre/codec/code_frame.h"

namespace lyre {
namespace {

using Progress = WarmupStep::Progress;

WarmupStep step(std::string name, WarmupLane lane, std::function<Status()> run) {
  return {
      .name = std::move(name), .lane = lane, .run = [run = std::move(run)]() -> Result<Progress> {
        LYRE_RETURN_IF_ERROR(run());
        return Progress::kDone;
      }};
}

Error busy(const char* what) {
  return {ErrorCode::kUnavailable, std::string("every ") + what + " is in use by requests"};
}

/// 2, 4, 8, ... and, from 64 on, those half way to the next: at these sizes backends go over to
/// another graph or kernel. And the greatest; a batch of one is run by other steps.
std::vector<int> every_batch(int greatest) {
  std::vector<int> sizes;
  for (int size = 2; size < greatest; size *= 2) {
    sizes.push_back(size);
    if (const int half_way = size / 2 * 3; size >= 64 && half_way < greatest) {
      sizes.push_back(half_way);
    }
  }
  if (greatest > 1) sizes.push_back(greatest);
  return sizes;
}

/// A small one, and one that is no longer a handful: kernels tell these apart.
std::vector<int> two_batches(int greatest) {
  std::vector<int> sizes = {2, 8};
  std::erase_if(sizes, [&](int size) { return size > greatest; });
  return sizes;
}

std::vector<int> every_prompt(int longest) {
  std::vector<int> lengths = {8, 32, 64};
  std::erase_if(lengths, [&](int tokens) { return tokens >= longest; });
  lengths.push_back(longest);
  return lengths;
}

/// Sequences that are closed again, whatever happens.
class Sequences {
 public:
  explicit Sequences(LanguageModel& model) : model_(model) {}
  ~Sequences() {
    for (const SequenceId id : open_) model_.close(id);
  }
  Sequences(const Sequences&) = delete;
  Sequences& operator=(const Sequences&) = delete;

  Status open(int count, const SequenceOptions& options) {
    const int64_t tokens = model_.kv_tokens_for(options.max_tokens) * count;
    if (model_.free_sequences() < count || model_.free_kv_tokens() < tokens) {
      return busy("sequence");
    }
    open_.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      LYRE_ASSIGN_OR_RETURN(const SequenceId id, model_.open(options));
      open_.push_back(id);
    }
    return ok_status();
  }

  /// One step of all of them; a prompt for each, or a decode.
  Status step(std::span<const TokenId> prompt, int most_tokens = 1) {
    std::vector<Slice> slices;
    for (const SequenceId id : open_) {
      slices.push_back({.sequence = id, .prompt = prompt, .most_tokens = most_tokens});
    }
    std::vector<SliceResult> results(slices.size());
    LYRE_RETURN_IF_ERROR(model_.step(slices, results));
    // Who has drawn a stop id is not stepped again.
    for (size_t i = results.size(); i-- > 0;) {
      if (!results[i].stopped) continue;
      model_.close(open_[i]);
      open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return ok_status();
  }

  bool empty() const noexcept { return open_.empty(); }

 private:
  LanguageModel& model_;
  std::vector<SequenceId> open_;
};

/// A prompt of `tokens` for each of `sequences`, and then so many decodes.
Status speak_tokens(LanguageModel& model, const CodeLayout& layout, const SamplingParams& sampling,
                    int sequences, int tokens, int decodes) {
  const std::vector<TokenId> prompt(static_cast<size_t>(tokens), layout.first_code);
  SequenceOptions options;
  options.sampling = sampling;
  options.layout = layout;
  options.max_tokens = std::min(tokens + decodes + 1, model.info().max_sequence_tokens);
  Sequences open(model);
  LYRE_RETURN_IF_ERROR(open.open(sequences, options));
  LYRE_RETURN_IF_ERROR(open.step(prompt));
  for (int i = 0; i < decodes && !open.empty(); ++i) LYRE_RETURN_IF_ERROR(open.step({}));
  return ok_status();
}

/// Every number of tokens that a step may be asked for, up to a whole frame: the engine asks for as
/// many as are left to the end of a frame (SpeechLoop::tokens_to_draw).
Status speak_several(LanguageModel& model, const CodeLayout& layout, int sequences) {
  constexpr int kFrame = CodeLayout::kSlots;
  const TokenId prompt = layout.first_code;
  SequenceOptions options;
  options.layout = layout;
  options.max_tokens = std::min(2 + kFrame + kFrame * kFrame, model.info().max_sequence_tokens);
  Sequences open(model);
  LYRE_RETURN_IF_ERROR(open.open(sequences, options));
  LYRE_RETURN_IF_ERROR(open.step({&prompt, 1}, kFrame));
  for (int tokens = kFrame; tokens > 1 && !open.empty(); --tokens) {
    LYRE_RETURN_IF_ERROR(open.step({}, tokens));
  }
  return ok_status();
}

/// Streams that are closed again, whatever happens.
class Streams {
 public:
  explicit Streams(Codec& codec) : codec_(codec) {}
  ~Streams() {
    for (const StreamId id : open_) codec_.close(id);
  }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  Status open(int count) {
    if (codec_.free_streams() < count) return busy("stream of the codec");
    open_.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      LYRE_ASSIGN_OR_RETURN(const StreamId id, codec_.open({.noise_seed = 0, .noise = true}));
      open_.push_back(id);
    }
    return ok_status();
  }

  /// One frame for each, or the end of each.
  Status push(bool finish, bool preview) {
    const CodeFrame frame;  // code 0 of every level
    std::vector<CodecWork> work;
    for (const StreamId id : open_) {
      CodecWork& item = work.emplace_back();
      item.stream = id;
      if (!finish) item.frames = {&frame, 1};
      item.finish = finish;
      item.preview = preview;
    }
    std::vector<PcmSpan> pcm(work.size());
    return codec_.push(work, pcm);
  }

 private:
  Codec& codec_;
  std::vector<StreamId> open_;
};

Status speak_frames(Codec& codec, int streams, int frames, bool preview) {
  Streams open(codec);
  LYRE_RETURN_IF_ERROR(open.open(streams));
  for (int i = 0; i < frames; ++i) LYRE_RETURN_IF_ERROR(open.push(false, preview));
  return open.push(true, false);
}

Status fill_channels(int channels, size_t samples) {
  std::vector<std::pair<PcmSink, PcmSource>> open;
  open.reserve(static_cast<size_t>(channels));
  const std::vector<float> silence(samples);
  for (int i = 0; i < channels; ++i) {
    auto& [sink, source] = open.emplace_back(make_pcm_channel(samples));
    if (sink.push(silence) != PushStatus::kAccepted) {
      return Error{ErrorCode::kInternal, "a channel does not hold what it should"};
    }
    sink.finish(SpeechSummary{});
  }
  return ok_status();
}

// What texts are made of: numbers, abbreviations, signs, letters beyond ASCII, several sentences.
constexpr const char* kShortText = "Hello there.";
constexpr const char* kLongText =
    "Dr. Smith paid $3.50 at 10:45 a.m. on the 3rd of May; was it too much? \"No\", said "
    "Zo\xC3\xAB, \xE2\x80\x9Cit\xE2\x80\x99s a caf\xC3\xA9\xE2\x80\x9D! <laugh> Visit "
    "https://example.com/a?b=c \xE2\x80\x94 \xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82 "
    "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82.";

}  // namespace

std::vector<WarmupStep> language_model_shapes(LanguageModel& model, const CodeLayout& layout) {
  const LanguageModelInfo& info = model.info();
  std::vector<WarmupStep> steps;
  const auto add = [&](std::string name, std::function<Status()> run) {
    steps.push_back(step(std::move(name), WarmupLane::kModels, std::move(run)));
  };
  // Prompts come in chunks of any size up to a whole step's.
  const int longest = std::min(info.max_batch_tokens, info.max_sequence_tokens - 1);
  const std::vector<int> prompts =
      info.every_shape_pays ? every_prompt(longest) : std::vector<int>{std::min(16, longest)};
  for (const int tokens : prompts) {
    add("lm.prefill." + std::to_string(tokens), [&model, &layout, tokens] {
      return speak_tokens(model, layout, SamplingParams{}, 1, tokens, 0);
    });
  }
  add(kFrameStep, [&model, &layout] {
    return speak_tokens(model, layout, SamplingParams{}, 1, 4, CodeLayout::kSlots);
  });
  const std::vector<int> batches =
      info.every_shape_pays ? every_batch(info.max_sequences) : two_batches(info.max_sequences);
  for (const int sequences : batches) {
    add("lm.decode." + std::to_string(sequences), [&model, &layout, sequences] {
      return speak_tokens(model, layout, SamplingParams{}, sequences, 1, 1);
    });
  }
  if (info.draws_several) {
    add("lm.several.1", [&model, &layout] { return speak_several(model, layout, 1); });
    for (const int sequences : batches) {
      add("lm.several." + std::to_string(sequences),
          [&model, &layout, sequences] { return speak_several(model, layout, sequences); });
    }
  }
  add("lm.sampler", [&model, &layout]() -> Status {
    SamplingParams everything;
    everything.top_k = 40;
    everything.min_p = 0.01f;
    LYRE_RETURN_IF_ERROR(speak_tokens(model, layout, everything, 1, 1, 0));
    SamplingParams nothing;
    nothing.temperature = 0;
    nothing.repetition_penalty = 1;
    return speak_tokens(model, layout, nothing, 1, 1, 0);
  });
  return steps;
}

std::vector<WarmupStep> codec_shapes(Codec& codec) {
  std::vector<WarmupStep> steps;
  const auto add = [&](std::string name, std::function<Status()> run) {
    steps.push_back(step(std::move(name), WarmupLane::kModels, std::move(run)));
  };
  add("codec.first_frame", [&codec] { return speak_frames(codec, 1, 1, false); });
  add("codec.steady_frames", [&codec] { return speak_frames(codec, 1, 4, false); });
  add("codec.preview", [&codec] { return speak_frames(codec, 1, 1, true); });
  const CodecInfo& info = codec.info();
  for (const int streams :
       info.every_shape_pays ? every_batch(info.max_streams) : two_batches(info.max_streams)) {
    add("codec.batch." + std::to_string(streams),
        [&codec, streams] { return speak_frames(codec, streams, 1, false); });
  }
  return steps;
}

std::vector<WarmupStep> text_shapes(std::function<Status(const std::string& text)> prepare) {
  return {step("text.short", WarmupLane::kBeside, [prepare] { return prepare(kShortText); }),
          step("text.long", WarmupLane::kBeside, [prepare] { return prepare(kLongText); })};
}

WarmupStep channels_step(int channels, size_t channel_samples) {
  return step("audio.channels", WarmupLane::kBeside,
              [=] { return fill_channels(channels, channel_samples); });
}

}  // namespace lyre
