#include "lyre/server/speech_body.h"

#include <memory>
#include <utility>

namespace lyre::server {

SpeechBody plain_body(AudioEncoder encoder) {
  // std::function asks for copies; the body is never copied.
  const auto shared = std::make_shared<AudioEncoder>(std::move(encoder));
  SpeechBody body;
  body.write = [shared](std::span<const float> samples, std::string& out) {
    return shared->encode(samples, out);
  };
  body.end = [shared](const SpeechSummary&, std::string& out) { return shared->finish(out); };
  return body;
}

}  // namespace lyre::server
