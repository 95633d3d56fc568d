#include "lyre/engine/warm_up.h"

#include <array>

#include "lyre/codec/code_frame.h"

namespace lyre {
namespace {

Status warm_up_language_model(LanguageModel& model, SequenceId sequence,
                              std::span<const TokenId> prompt, int decodes) {
  Slice slice;
  slice.sequence = sequence;
  slice.prompt = prompt;
  SliceResult result;
  for (int i = 0; i <= decodes && !result.stopped; ++i) {
    LYRE_RETURN_IF_ERROR(model.step({&slice, 1}, {&result, 1}));
    slice.prompt = {};
  }
  return ok_status();
}

Status warm_up_codec(Codec& codec, StreamId stream) {
  const CodeFrame frame;  // code 0 of every level
  PcmSpan pcm;
  CodecWork work;
  work.stream = stream;
  work.frames = {&frame, 1};
  work.preview = true;
  LYRE_RETURN_IF_ERROR(codec.push({&work, 1}, {&pcm, 1}));
  work.preview = false;
  work.finish = true;
  return codec.push({&work, 1}, {&pcm, 1});
}

}  // namespace

Status warm_up(LanguageModel& language_model, Codec& codec, const CodeLayout& layout) {
  constexpr int kDecodes = 3;
  std::array<TokenId, 8> prompt;
  prompt.fill(layout.first_code);
  SequenceOptions options;
  options.layout = layout;
  options.max_tokens = static_cast<int>(prompt.size()) + kDecodes + 1;
  LYRE_ASSIGN_OR_RETURN(const SequenceId sequence, language_model.open(options));
  const Status spoken = warm_up_language_model(language_model, sequence, prompt, kDecodes);
  language_model.close(sequence);
  LYRE_RETURN_IF_ERROR(spoken);

  LYRE_ASSIGN_OR_RETURN(const StreamId stream, codec.open({.noise_seed = 0, .noise = true}));
  const Status sounded = warm_up_codec(codec, stream);
  codec.close(stream);
  return sounded;
}

}  // namespace lyre
