#include "lyre/server/speech_events.h"

#include <memory>
#include <string_view>
#include <utility>

#include "lyre/base/json_string.h"
#include "lyre/server/api_error.h"
#include "lyre/server/base64.h"
#include "lyre/server/request_id.h"

namespace lyre::server {
namespace {

// Clients read line by line and some have no room for a line of more than 64 KiB; a multiple of
// three, so that a long row of samples is not padded within.
constexpr size_t kMostLineBytes = 24 * 1024;

void append_error_event(const Error& error, std::string& out) {
  std::string object = error_object(api_error(error));
  out.append(R"(data: {"type":"error","error":)").append(object).append("}\n\n");
}

void append_done_event(const SpeechSummary& summary, std::string& out) {
  const int64_t input = summary.prompt_tokens, output = summary.generated_tokens;
  out.append(R"(data: {"type":"speech.audio.done","usage":{"input_tokens":)")
      .append(std::to_string(input))
      .append(R"(,"output_tokens":)")
      .append(std::to_string(output))
      .append(R"(,"total_tokens":)")
      .append(std::to_string(input + output))
      .append("}}\n\n");
}

}  // namespace

SpeechBody base64_body(AudioEncoder encoder, Base64Lines lines) {
  struct State {
    AudioEncoder encoder;
    Base64Lines lines;
    std::string bytes;  // of one call; kept, so that none allocates

    void write_lines(std::string& out) {
      for (std::string_view rest = bytes; !rest.empty();) {
        const std::string_view piece = rest.substr(0, kMostLineBytes);
        out += lines.before;
        append_base64(piece, out);
        out += lines.after;
        rest.remove_prefix(piece.size());
      }
      bytes.clear();
    }
  };
  const auto state =
      std::make_shared<State>(State{std::move(encoder), std::move(lines), std::string()});
  SpeechBody body;
  body.write = [state](std::span<const float> samples, std::string& out) -> Status {
    LYRE_RETURN_IF_ERROR(state->encoder.encode(samples, state->bytes));
    state->write_lines(out);
    return ok_status();
  };
  body.end = [state](const SpeechSummary& summary, std::string& out) -> Status {
    LYRE_RETURN_IF_ERROR(state->encoder.finish(state->bytes));
    state->write_lines(out);
    if (state->lines.end) state->lines.end(summary, out);
    return ok_status();
  };
  if (state->lines.fail) {
    body.fail = [state](const Error& error, std::string& out) { state->lines.fail(error, out); };
  }
  return body;
}

SpeechBody openai_events(AudioEncoder encoder) {
  return base64_body(std::move(encoder),
                     {.before = R"(data: {"type":"speech.audio.delta","audio":")",
                      .after = "\"}\n\n",
                      .end = append_done_event,
                      .fail = append_error_event});
}

SpeechBody together_events(AudioEncoder encoder) {
  std::string before = R"(data: {"type":"conversation.item.audio_output.delta","item_id":)";
  append_json_string(before, request_id(""));
  before += R"(,"delta":")";
  return base64_body(
      std::move(encoder),
      {.before = std::move(before),
       .after = "\"}\n\n",
       .end = [](const SpeechSummary&, std::string& out) { out += "data: [DONE]\n\n"; },
       .fail = append_error_event});
}

}  // namespace lyre::server
