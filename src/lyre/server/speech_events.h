#pragma once

#include <functional>
#include <string>

#include "lyre/server/speech_body.h"

namespace lyre::server {

/// A body of lines of text, each with a piece of the encoded file in base 64: whoever decodes all
/// of them and puts them together has the file.
struct Base64Lines {
  std::string before, after;  // of the base 64
  /// What follows the last of them.
  std::function<void(const SpeechSummary& summary, std::string& out)> end;
  /// See SpeechBody::fail.
  std::function<void(const Error& error, std::string& out)> fail;
};
SpeechBody base64_body(AudioEncoder encoder, Base64Lines lines);

/// Server-sent events of OpenAI: speech.audio.delta, and speech.audio.done with the tokens of the
/// prompt and of the speech. A failure is an event with the error object of ApiError.
SpeechBody openai_events(AudioEncoder encoder);

/// Server-sent events of Together AI: conversation.item.audio_output.delta, and [DONE]. A failure
/// is an event of the same form as OpenAI's.
SpeechBody together_events(AudioEncoder encoder);

}  // namespace lyre::server
