#include "lyre/engine/speak.h"

#include <array>
#include <optional>
#include <utility>

#include "lyre/audio/wav.h"

namespace lyre {

Result<SpeechSummary> speak(Engine& engine, SynthesisRequest request, const OnSamples& on_samples) {
  // A frame of the codec: what comes together is handed on together.
  std::array<float, 2048> block;
  LYRE_ASSIGN_OR_RETURN(Speech speech, engine.submit(std::move(request)));
  while (speech.pcm.wait_readable()) {
    const size_t count = speech.pcm.try_read(block);
    if (!on_samples(std::span(block).first(count))) {
      return Error{ErrorCode::kCancelled, "the caller ended the speech"};
    }
  }
  if (speech.pcm.state() == PcmSource::State::kFailed) return speech.pcm.error();
  return speech.pcm.summary();
}

Result<SpeechSummary> speak_to_wav(Engine& engine, SynthesisRequest request,
                                   const std::filesystem::path& file) {
  std::optional<WavWriter> writer;
  Status written = ok_status();
  const auto write = [&](std::span<const float> samples) -> Status {
    if (!writer) {
      LYRE_ASSIGN_OR_RETURN(WavWriter opened, WavWriter::open(file, engine.info().sample_rate_hz));
      writer.emplace(std::move(opened));
    }
    return writer->write(samples);
  };
  Result<SpeechSummary> spoken =
      speak(engine, std::move(request), [&](std::span<const float> samples) {
        written = write(samples);
        return written.ok();
      });
  Status finished = writer ? writer->finish() : ok_status();
  if (!written) return std::move(written).error();
  if (!spoken) return spoken;
  if (!finished) return std::move(finished).error();
  if (!writer) {
    return Error{ErrorCode::kInternal,
                 "the model ended without any speech; another seed may speak"};
  }
  return spoken;
}

}  // namespace lyre
